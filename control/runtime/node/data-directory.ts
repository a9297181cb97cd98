import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Makes the data directory (0700) and takes it for this process. The lock is the kernel's, on a file of its own, through
 * SQLite: it is gone the moment its process is, so none is ever stale.
 * @returns gives it back
 * @throws Error when another process has it
 */
export async function claimDataDirectory(directory: string): Promise<() => void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(directory, "control.lock"));
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (error instanceof Error && error.message.includes("locked")) {
      throw new Error(`another control plane is running in ${directory}: stop it first, or set HOLDFAST_DATA`);
    }
    throw error;
  }
  return () => lock.close();
}

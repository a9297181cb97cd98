import { access, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../../../shared/error-message.ts";

/**
 * Makes the data directory (0700) and takes it for this process. The lock is the kernel's, on a file of its own, through
 * SQLite: it is gone the moment its process is, so none is ever stale.
 * @returns gives it back
 * @throws Error when another process has it, or nothing can be written there
 */
export async function lockDataDirectory(directory: string): Promise<() => void> {
  let lock: DatabaseSync | null = null;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await access(directory, constants.W_OK);
    const opened = (lock = new DatabaseSync(join(directory, "control.lock")));
    opened.exec("BEGIN EXCLUSIVE");
    return () => opened.close();
  } catch (error) {
    lock?.close();
    const said = messageOf(error);
    throw new Error(
      said.includes("locked")
        ? `another control plane is running in ${directory}: stop it first, or set HOLDFAST_DATA`
        : `the data directory ${directory} can't be used (${said}): make it writable for this user, or set HOLDFAST_DATA`,
      { cause: error },
    );
  }
}

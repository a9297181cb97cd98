import { access, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../../../shared/error-message.ts";

/**
 * Creates the data directory (0700) and locks it for this process. It is a kernel lock on a separate file, through
 * SQLite: it ends with the process, so it is never stale.
 * @returns releases the lock
 * @throws Error when another process holds the lock, or the directory is not writable
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
    const message = messageOf(error);
    throw new Error(
      message.includes("locked")
        ? `another control plane is running in ${directory}: stop it first, or set HOLDFAST_DATA`
        : `the data directory ${directory} can't be used (${message}): make it writable for this user, or set HOLDFAST_DATA`,
      { cause: error },
    );
  }
}

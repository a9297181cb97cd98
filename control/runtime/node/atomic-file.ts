import { link, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** @returns null when there is no such file */
export async function readIfExists(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/**
 * Writes a new file (0600) that is there whole, and on the disk, or not at all.
 * @throws EEXIST when there is one already: it is not touched
 */
export async function createDurably(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.new`;
  try {
    await writeThrough(draft, text, 0o600);
    await link(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
  await syncDirectory(dirname(file));
}

/** Writes a file so that it is the old one or the new one, whole, at any moment. */
export async function replaceAtomically(file: string, text: string, mode = 0o600): Promise<void> {
  const draft = `${file}.${process.pid}.new`;
  await writeThrough(draft, text, mode);
  await rename(draft, file);
  await syncDirectory(dirname(file));
}

async function writeThrough(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, "w", mode);
  try {
    // What the umask took away is meant, and what an older draft of the same name had is not.
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

import { link, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** @returns null when there is no such file */
export async function readIfThere(file: string): Promise<string | null> {
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
export async function createOnce(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.new`;
  try {
    await writeThrough(draft, text);
    await link(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
  const directory = await open(dirname(file), "r");
  await directory.sync();
  await directory.close();
}

async function writeThrough(file: string, text: string): Promise<void> {
  const handle = await open(file, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

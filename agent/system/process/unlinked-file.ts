import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { RunUser } from "./user.ts";

const TMPFS = 0x01021994;
const MEMORY_DIRECTORIES = ["/dev/shm", "/run"];

/**
 * Opens an unlinked file with the text, that only the user can open: a child finds it as /dev/fd/N. (An extra pipe
 * won't do: Node and Bun make it a socket, which can't be opened by path.)
 * @param fallback a directory of the agent's own, for a host without a memory-backed one
 */
export async function openUnlinkedFile(text: string, user: RunUser, fallback: string): Promise<FileHandle> {
  for (const directory of await memoryDirectories()) {
    try {
      return await openIn(directory, text, user);
    } catch {
      // Not writable for us, or full: try the next one.
    }
  }
  await mkdir(fallback, { recursive: true, mode: 0o700 });
  return await openIn(fallback, text, user);
}

async function openIn(directory: string, text: string, user: RunUser): Promise<FileHandle> {
  const path = join(directory, `.holdfast-${randomBytes(12).toString("hex")}`);
  const handle = await open(path, "wx+", 0o600);
  try {
    try {
      await handle.chmod(0o600);
      if (user.needsSwitch) await handle.chown(user.uid, user.gid);
    } finally {
      await unlink(path);
    }
    await writeFromStart(handle, Buffer.from(text));
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** At explicit positions, so that a child that only inherits the file (borg) reads it from its beginning too. */
async function writeFromStart(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
}

async function memoryDirectories(): Promise<string[]> {
  const types = await Promise.all(MEMORY_DIRECTORIES.map((path) => statfs(path).catch(() => null)));
  return MEMORY_DIRECTORIES.filter((_path, index) => types[index]?.type === TMPFS);
}

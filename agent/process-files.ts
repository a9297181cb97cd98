import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { RunUser } from "./process-user.ts";

const TMPFS = 0x01021994;
const MEMORY_DIRECTORIES = ["/dev/shm", "/run"];

/**
 * Opens a file that holds the text, has no name any more, and that only the user can open: a child finds it as
 * /dev/fd/N. (An extra pipe won't do: Node and Bun make it a socket, which can't be opened by path.)
 * @param fallback a directory of the agent's own, for a host without a memory-backed one
 */
export async function openNameless(text: string, user: RunUser, fallback: string): Promise<FileHandle> {
  const file = await openNew(fallback);
  try {
    await file.handle.chmod(0o600);
    if (user.isAnother) await file.handle.chown(user.uid, user.gid);
  } finally {
    await unlink(file.path);
  }
  await writeFromStart(file.handle, Buffer.from(text));
  return file.handle;
}

/** At given places, so that a child that only inherits the file (borg) reads it from its beginning too. */
async function writeFromStart(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
}

async function openNew(fallback: string): Promise<{ path: string; handle: FileHandle }> {
  const name = `.holdfast-${randomBytes(12).toString("hex")}`;
  for (const directory of MEMORY_DIRECTORIES) {
    try {
      if ((await statfs(directory)).type !== TMPFS) continue;
      const path = join(directory, name);
      return { path, handle: await open(path, "wx+", 0o600) };
    } catch {
      // Not there, or not ours to write to: the next one.
    }
  }
  await mkdir(fallback, { recursive: true, mode: 0o700 });
  const path = join(fallback, name);
  return { path, handle: await open(path, "wx+", 0o600) };
}

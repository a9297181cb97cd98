import { closeSync, createReadStream, renameSync, unlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../../shared/error-message.ts";
import { syncDirectory } from "../../shared/node/files.ts";
import type { StagedSqlite } from "../consistency/staging.ts";
import { runError } from "../run-error.ts";
import { type EntryName, entryOf, isCode, makeIn, openDirectory, selfOf } from "../system/descriptors.ts";
import type { Aside } from "./aside.ts";
import { lstat } from "./disk.ts";

const SQLITE_ENDINGS = ["-wal", "-shm", "-journal"];

interface Replacement {
  readonly from: string;
  /** Behind all links. */
  readonly place: string;
  readonly aside: Aside;
}

/**
 * Replaces a database as a whole or not at all: a copy is written next to the old one first. SQLite's files next to the
 * old one are removed before the rename: they would be applied to the new one.
 */
export async function replaceDatabase(copy: StagedSqlite, { from, place, aside }: Replacement): Promise<void> {
  const name = basename(place);
  const draft = `.${name}.holdfast-${process.pid}`;
  const directory = openParent(place, 0o755);
  const keep = async (entry: string): Promise<void> => {
    if (aside.keepsReplaced && lstat(entryOf(directory, entry)) !== null) {
      await aside.keep({ directory, name: entry, path: join(dirname(place), entry) });
    }
  };
  try {
    await copyInto(entryOf(directory, draft), { from, ...copy });
    await keep(name);
    for (const ending of SQLITE_ENDINGS) {
      await keep(name + ending);
      removeIfThere(directory, name + ending);
    }
    renameSync(entryOf(directory, draft), entryOf(directory, name));
    await syncDirectory(selfOf(directory));
  } finally {
    removeIfThere(directory, draft);
    closeSync(directory);
  }
}

/** Writes a new file through its descriptor: its name may be given to something else meanwhile. */
async function copyInto(
  place: EntryName,
  { from, uid, gid, mode }: { from: string; uid?: number; gid?: number; mode: number },
): Promise<void> {
  const file = await open(place, "wx", 0o600);
  try {
    await pipeline(createReadStream(from), async (chunks) => {
      for await (const chunk of chunks) await file.writeFile(chunk);
    });
    if (process.getuid?.() === 0 && uid !== undefined && gid !== undefined) await file.chown(uid, gid);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Opens the directory of a place on disk, and makes it. Throws RunError when a link above it leads elsewhere. */
function openParent(place: string, mode: number): number {
  try {
    return openDirectory(dirname(place), (above, name) => makeIn(above, name, mode));
  } catch (error) {
    const isLink = isCode(error, "ENOTDIR", "ELOOP");
    const reason = isLink ? "a directory above it is a symbolic link: nothing is written through it" : messageOf(error);
    throw runError("restore.incomplete", `${place} can't be written: ${reason}`);
  }
}

function removeIfThere(directory: number, name: string): void {
  try {
    unlinkSync(entryOf(directory, name));
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

/** Writes a dump to a place of its own. */
export async function copyDump(from: string, place: string): Promise<void> {
  const directory = openParent(place, 0o700);
  try {
    removeIfThere(directory, basename(place));
    await copyInto(entryOf(directory, basename(place)), { from, mode: 0o600 });
  } finally {
    closeSync(directory);
  }
}

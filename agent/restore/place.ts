import { chmodSync, closeSync, constants, fstatSync, openSync, readdirSync, readSync, renameSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { messageOf } from "../../shared/error-message.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";
import { type EntryName, entryOf, isCode, openIn, removeTree, selfOf, withDirectory } from "../system/descriptors.ts";
import type { Aside } from "./aside.ts";
import { type Disk, lstat, modeOf, split, typeOf } from "./disk.ts";
import { obstacleReason } from "./obstacles.ts";

interface PlaceInput {
  /** What to put in place, parents first. */
  readonly nodes: readonly SnapshotNode[];
  /** Where it has been written, and where it belongs. */
  readonly stage: Disk;
  readonly disk: Disk;
  /** Prefix of the paths on disk. */
  readonly root: string;
  readonly aside: Aside;
  /** Throws for a path on disk that stays, whatever is written. */
  readonly refuse: (path: string) => void;
  /** Paths that could not be written before; nothing below them is put in place. */
  readonly isFailed: (path: string) => boolean;
  /** Copies an entry of one open directory into another, on another file system. */
  readonly copy: (entry: { staged: number; directory: number; name: EntryName }) => Promise<void>;
}

interface Placed {
  readonly failed: FailedPath[];
  /** Directories that were moved with all that is in them: they have their attributes already. */
  readonly moved: ReadonlySet<string>;
}

const YIELD_EVERY = 200;
const NOT_WRITTEN = "is not there after the restore";

/**
 * Moves what was written aside to where it belongs, entry by entry, or a directory as a whole where there is none.
 * Everything goes into an open directory: a link that somebody puts in the place of a directory leads nowhere.
 */
export async function putInPlace(input: PlaceInput): Promise<Placed> {
  const { nodes, stage, disk, isFailed } = input;
  const failed: FailedPath[] = [];
  const moved = new Set<string>();
  const blocked = new Set<string>();
  let count = 0;
  for (const node of nodes) {
    if (++count % YIELD_EVERY === 0) await turn();
    const { path } = node;
    if (isFailed(path) || isIn(path, moved)) continue;
    if (isIn(path, blocked)) {
      failed.push({ path, reason: "its directory is not restored" });
      continue;
    }
    const names = stage.namesOf(path);
    try {
      const directory = disk.directoryOf(path);
      if (names.length === 0) throw new Error(NOT_WRITTEN);
      if (directory === null) throw new Error("its directory is not there any more, or a link");
      for (const name of names) {
        const isWhole = await placeEntry(input, { node, name, directory });
        if (isWhole && node.type === "dir") moved.add(path);
      }
    } catch (error) {
      failed.push({ path, reason: messageOf(error) });
      if (node.type === "dir") blocked.add(path);
    }
  }
  disk.forget();
  stage.forget();
  return { failed, moved };
}

/** Whether a directory above the path is among them. */
function isIn(path: string, directories: ReadonlySet<string>): boolean {
  if (directories.size === 0) return false;
  for (let at = split(path).parent; at !== ""; at = split(at).parent) if (directories.has(at)) return true;
  return false;
}

interface Entry {
  readonly node: SnapshotNode;
  readonly name: EntryName;
  /** Where it belongs. */
  readonly directory: number;
}

/** @returns false when a directory is there already: what is in it follows one by one */
async function placeEntry(input: PlaceInput, { node, name, directory }: Entry): Promise<boolean> {
  const { stage, root, aside, refuse } = input;
  const staged = stage.directoryOf(node.path);
  if (staged === null) throw new Error(NOT_WRITTEN);
  const from = entryOf(staged, name);
  const to = entryOf(directory, name);
  if (node.type !== "dir" && !aside.keepsReplaced && replace(from, to)) return true;
  if (lstat(from) === null) throw new Error(NOT_WRITTEN);
  const there = lstat(to);
  const shown = root + node.path;
  if (there !== null) {
    const type = typeOf(there);
    if (type === "dir" && node.type === "dir") {
      if (process.getuid?.() !== 0) for (const above of [staged, directory]) withDirectory(openIn(above, name), unlock);
      return false;
    }
    try {
      if (type === "dir") await clear(input, { directory, name, shown });
      else if (aside.keepsReplaced && !(await isSameFile(from, to))) {
        refuse(shown);
        await aside.keep({ directory, name, path: shown });
      }
      // A directory takes the place of nothing else.
      if (type !== "dir" && node.type === "dir" && lstat(to) !== null) removeTree(directory, name, { shown, refuse });
    } catch (error) {
      throw new Error(obstacleReason(type, error), { cause: error });
    }
  }
  await move(input, { from, to, directory, name, staged });
  return true;
}

/** @returns false when it takes more than one rename */
function replace(from: EntryName, to: EntryName): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (isCode(error, "EISDIR", "EXDEV")) return false;
    throw isCode(error, "ENOENT") ? new Error(NOT_WRITTEN, { cause: error }) : error;
  }
}

/** Lets an agent that is not root change what is in its own directory; the attributes it is to have come at the end. */
function unlock(directory: number): void {
  const there = fstatSync(directory, { bigint: true });
  if (there.uid === BigInt(process.getuid?.() ?? 0)) chmodSync(selfOf(directory), modeOf(there) | 0o700);
}

/** Empties the place of a directory that something else belongs in. */
async function clear(
  { aside, refuse }: PlaceInput,
  { directory, name, shown }: { directory: number; name: EntryName; shown: string },
): Promise<void> {
  if (!aside.keepsReplaced) return removeTree(directory, name, { shown, refuse });
  refuseWithin(directory, name, { shown, refuse });
  await aside.keep({ directory, name, path: shown });
}

function refuseWithin(
  directory: number,
  name: EntryName,
  { shown, refuse }: { shown: string; refuse: (path: string) => void },
): void {
  refuse(shown);
  if (lstat(entryOf(directory, name))?.isDirectory() !== true) return;
  withDirectory(openIn(directory, name), (inside) => {
    for (const entry of readdirSync(selfOf(inside), { encoding: "buffer" })) {
      refuseWithin(inside, entry, { shown: `${shown}/${entry.toString()}`, refuse });
    }
  });
}

interface Move {
  readonly from: EntryName;
  readonly to: EntryName;
  readonly staged: number;
  readonly directory: number;
  readonly name: EntryName;
}

async function move({ copy }: PlaceInput, { from, to, staged, directory, name }: Move): Promise<void> {
  try {
    renameSync(from, to);
  } catch (error) {
    if (isCode(error, "EXDEV")) return await copy({ staged, directory, name });
    // A directory that its owner may not write can't be moved by him either; root can.
    if (!isCode(error, "EACCES") || lstat(from)?.isDirectory() !== true) throw error;
    withDirectory(openIn(staged, name), (own) => {
      const mode = modeOf(fstatSync(own, { bigint: true }));
      chmodSync(selfOf(own), mode | 0o200);
      renameSync(from, to);
      chmodSync(selfOf(own), mode);
    });
  }
}

const CHUNK_BYTES = 1 << 20;

/** Whether both are files with the same content: then nothing is lost by the one's taking the other's place. */
async function isSameFile(one: EntryName, other: EntryName): Promise<boolean> {
  const [first, second] = [lstat(one), lstat(other)];
  if (first?.isFile() !== true || second?.isFile() !== true || first.size !== second.size) return false;
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const open: number[] = [];
  try {
    for (const path of [one, other]) open.push(openSync(path, flags));
    const [left = -1, right = -1] = open;
    const [mine, theirs] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
    for (;;) {
      const length = readSync(left, mine);
      if (readFully(right, theirs.subarray(0, Math.max(length, 1))) !== length) return false;
      if (length === 0) return true;
      if (mine.compare(theirs, 0, length, 0, length) !== 0) return false;
      await turn();
    }
  } catch {
    return false;
  } finally {
    for (const descriptor of open) closeSync(descriptor);
  }
}

/** @returns how many bytes there were, at most as many as asked for */
function readFully(descriptor: number, into: Buffer): number {
  let done = 0;
  while (done < into.length) {
    const length = readSync(descriptor, into, done, into.length - done, null);
    if (length === 0) break;
    done += length;
  }
  return done;
}

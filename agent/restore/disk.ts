import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { shownName } from "../system/display-name.ts";
import type { NodeType, SnapshotNode } from "../providers/contents.ts";

export type DiskPath = string | Buffer;

/**
 * The disk below one directory, by names as a listing shows them. Directories read once are not read again: open a new
 * one for that.
 */
export interface Disk {
  /** The path with its real bytes; null when nothing has that name, or several entries do. */
  find(path: string): DiskPath | null;
  /** Status of what is there, without following links; null when there is nothing. */
  stat(path: string): BigIntStats | null;
  /** Names as a listing shows them, with their real bytes; null where several entries have the same. */
  names(path: string): Map<string, Buffer | null>;
  /** Whether several entries are meant: their names differ only in bytes that are not UTF-8. */
  isAmbiguous(path: string): boolean;
}

const YIELD_EVERY = 500;

/**
 * @param root prefix for all paths, "" for the machine itself
 * @param standIn what listings show for a byte that is not UTF-8
 */
export function openDisk(root: string, standIn: string): Disk {
  let last: { path: string; names: Map<string, Buffer | null> } | null = null;
  const disk: Disk = {
    find(path) {
      const plain = root + path;
      if (!path.includes(standIn) || lstat(plain) !== null) return plain;
      const { parent, name } = split(path);
      const directory = disk.find(parent);
      const found = directory === null ? undefined : disk.names(parent).get(name);
      return directory === null || found === undefined || found === null ? null : joinBytes(directory, found);
    },
    stat(path) {
      const found = disk.find(path);
      return found === null ? null : lstat(found);
    },
    names(path) {
      if (last?.path === path) return last.names;
      const directory = disk.find(path);
      last = { path, names: directory === null ? new Map() : readNames(directory, standIn) };
      return last.names;
    },
    isAmbiguous(path) {
      if (!path.includes(standIn) || lstat(root + path) !== null) return false;
      const { parent, name } = split(path);
      return disk.names(parent).get(name) === null || disk.isAmbiguous(parent);
    },
  };
  return disk;
}

function split(path: string): { parent: string; name: string } {
  const end = path.lastIndexOf("/");
  return { parent: path.slice(0, end), name: path.slice(end + 1) };
}

function readNames(directory: DiskPath, standIn: string): Map<string, Buffer | null> {
  const names = new Map<string, Buffer | null>();
  try {
    for (const name of readdirSync(directory.length === 0 ? "/" : directory, { encoding: "buffer" })) {
      const text = shownName(name, standIn);
      names.set(text, names.has(text) ? null : name);
    }
  } catch {
    // Missing or unreadable: nothing is known of it.
  }
  return names;
}

export function joinBytes(directory: DiskPath, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), name]);
}

/** @returns the status without following links; null when there is nothing, or it can't be read */
export function lstat(path: DiskPath): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

export function typeOf(stats: BigIntStats): NodeType {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "dir";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  if (stats.isSocket()) return "socket";
  return stats.isCharacterDevice() ? "chardev" : "blockdev";
}

export function modeOf({ mode }: BigIntStats): number {
  return Number(mode & 0o7777n);
}

/** Whether two times, in microseconds, are equal: one engine rounds them, the other truncates them. */
export function isSameTime(one: number, other: number): boolean {
  return Math.abs(one - other) <= 1;
}

export function mtimeUsOf({ mtimeNs }: BigIntStats): number {
  return Number(mtimeNs / 1000n);
}

/** How a snapshot's entry and the entry on disk differ, as far as a listing shows; null when they don't. */
export function difference(node: SnapshotNode, there: BigIntStats): string | null {
  const type = typeOf(there);
  if (type !== node.type) return `is a ${type}, was a ${node.type}`;
  if (type === "file" && node.size !== null && there.size !== BigInt(node.size)) return "size";
  // A directory's mtime changes with every entry.
  if (type !== "dir" && !isSameTime(mtimeUsOf(there), node.mtimeUs)) return "mtime";
  if (type !== "symlink" && modeOf(there) !== node.mode) return "mode";
  if (there.uid !== BigInt(node.uid) || there.gid !== BigInt(node.gid)) return "owner";
  return null;
}

/** Runs `work` for each item, yielding to the event loop every 500. */
export async function forEachYielding<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let count = 0;
  for (const item of items) {
    work(item);
    if (++count % YIELD_EVERY === 0) await turn();
  }
}

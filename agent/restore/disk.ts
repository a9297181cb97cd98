import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { shownName } from "../system/display-name.ts";
import type { NodeType, SnapshotNode } from "../providers/contents.ts";

export type DiskPath = string | Buffer;

/** The disk below one directory, looked up by the names a listing shows. What it has read is read again by a new one only. */
export interface Disk {
  /** The entry's own path; null when nothing there fits its name, or several do. */
  find(path: string): DiskPath | null;
  /** What is there now, itself and not behind a link; null when there is nothing. */
  stat(path: string): BigIntStats | null;
  /** Names as a listing would show them, with the bytes they really have; null where several look alike. */
  names(path: string): Map<string, Buffer | null>;
  /** Which of several entries is meant can't be told: their names differ in bytes that are not UTF-8 alone. */
  isAmbiguous(path: string): boolean;
}

const YIELD_EVERY = 500;

/**
 * @param root what paths are joined to, "" for the machine itself
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
    // Not there, or not to be read: nothing is known of it.
  }
  return names;
}

export function joinBytes(directory: DiskPath, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), name]);
}

/** @returns what is there, itself and not behind a link; null when nothing is, or it can't be looked at */
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

/** Whether two times, in microseconds, are the same: one tool rounds them, the other cuts them off. */
export function isSameTime(one: number, other: number): boolean {
  return Math.abs(one - other) <= 1;
}

export function mtimeUsOf({ mtimeNs }: BigIntStats): number {
  return Number(mtimeNs / 1000n);
}

/** What a snapshot's entry and what is there differ in, as far as a listing tells; null: in nothing. */
export function difference(node: SnapshotNode, there: BigIntStats): string | null {
  const type = typeOf(there);
  if (type !== node.type) return `is a ${type}, was a ${node.type}`;
  if (type === "file" && node.size !== null && there.size !== BigInt(node.size)) return "size";
  // A directory's changes with whatever is done in it.
  if (type !== "dir" && !isSameTime(mtimeUsOf(there), node.mtimeUs)) return "mtime";
  if (type !== "symlink" && modeOf(there) !== node.mode) return "mode";
  if (there.uid !== BigInt(node.uid) || there.gid !== BigInt(node.gid)) return "owner";
  return null;
}

/** Does the work for each, and lets everything else in this process have its turn in between. */
export async function forEachYielding<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let count = 0;
  for (const item of items) {
    work(item);
    if (++count % YIELD_EVERY === 0) await turn();
  }
}

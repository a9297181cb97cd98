import { type BigIntStats, closeSync, lstatSync, readdirSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { type EntryName, entryOf, openDirectory, openIn, selfOf } from "../system/descriptors.ts";
import { shownName } from "../system/display-name.ts";
import type { NodeType, SnapshotNode } from "../providers/contents.ts";

export type DiskPath = EntryName;

/**
 * The disk below one directory, by names as a listing shows them. Every directory is opened within the one above it,
 * and none through a link: what is found below it stays what it is, whoever renames the directories above.
 */
export interface Disk {
  /**
   * A path to the entry, which need not be there, in its open directory: good until the disk is asked about another
   * directory. Null when there is no such directory, or several entries have the name.
   */
  find(path: string): DiskPath | null;
  /** The entry's directory, open until the disk is asked about another; null when it is not there, or is a link. */
  directoryOf(path: string): number | null;
  /** A directory, open until the disk is asked about another; null when it is not there, or is a link. */
  open(path: string): number | null;
  /** Status of what is there, without following links; null when there is nothing. */
  stat(path: string): BigIntStats | null;
  /** Names as a listing shows them, with their real bytes: several where they differ only in what is not UTF-8. */
  names(path: string): Map<string, Buffer[]>;
  /** The entries that are meant, by their real bytes, whether they are there or not. */
  namesOf(path: string): EntryName[];
  /** Whether several entries are meant: their names differ only in bytes that are not UTF-8. */
  isAmbiguous(path: string): boolean;
  /** Looks at everything anew, and closes what is open. */
  forget(): void;
}

const YIELD_EVERY = 500;

/** Gives `work` the disk below a directory, and closes it afterwards: see openDisk. */
export async function withDisk<T>(root: string, standIn: string, work: (disk: Disk) => Promise<T>): Promise<T> {
  const disk = openDisk(root, standIn);
  try {
    return await work(disk);
  } finally {
    disk.forget();
  }
}

/**
 * To be closed with `forget`.
 * @param root prefix for all paths, "" for the machine itself
 * @param standIn what listings show for a byte that is not UTF-8
 */
export function openDisk(root: string, standIn: string): Disk {
  let last: { path: string; names: Map<string, Buffer[]> } | null = null;
  /** A directory that was not there: asking for each of its entries would cost more than all the rest. */
  let absent: string | null = null;
  /** From the root down to the directory that was asked about last. */
  const chain: { path: string; descriptor: number }[] = [];
  const shorten = (path: string): void => {
    for (let end = chain.at(-1); end !== undefined; end = chain.at(-1)) {
      if (path === end.path || path.startsWith(`${end.path}/`)) return;
      closeSync(end.descriptor);
      chain.pop();
    }
  };
  const open = (path: string): number | null => {
    if (absent !== null && (path === absent || path.startsWith(`${absent}/`))) return null;
    shorten(path);
    let next = "";
    try {
      if (chain.length === 0) chain.push({ path: "", descriptor: openDirectory(root) });
      for (let end = chain.at(-1); end !== undefined; end = chain.at(-1)) {
        if (end.path === path) return end.descriptor;
        const [name = ""] = path.slice(end.path.length + 1).split("/", 1);
        const [bytes, another] = realNames(end.descriptor, { parent: end.path, name });
        if (bytes === undefined || another !== undefined) return null;
        next = `${end.path}/${name}`;
        chain.push({ path: next, descriptor: openIn(end.descriptor, bytes) });
      }
    } catch {
      // Missing, a link, or not to be entered: nothing is known of it.
      absent = next;
    }
    return null;
  };
  const realNames = (directory: number, { parent, name }: { parent: string; name: string }): EntryName[] => {
    if (!name.includes(standIn) || lstat(entryOf(directory, name)) !== null) return [name];
    if (last?.path !== parent) last = { path: parent, names: readNames(directory, standIn) };
    return last.names.get(name) ?? [name];
  };
  const disk: Disk = {
    open,
    directoryOf: (path) => open(split(path).parent),
    find(path) {
      const directory = disk.directoryOf(path);
      const [name, another] = directory === null ? [] : realNames(directory, split(path));
      return directory === null || name === undefined || another !== undefined ? null : entryOf(directory, name);
    },
    stat(path) {
      const found = disk.find(path);
      return found === null ? null : lstat(found);
    },
    names(path) {
      if (last?.path === path) return last.names;
      const directory = open(path);
      last = { path, names: directory === null ? new Map() : readNames(directory, standIn) };
      return last.names;
    },
    namesOf(path) {
      const directory = disk.directoryOf(path);
      return directory === null ? [] : realNames(directory, split(path));
    },
    isAmbiguous: (path) =>
      path.includes(standIn) && (disk.namesOf(path).length > 1 || disk.isAmbiguous(split(path).parent)),
    forget() {
      last = null;
      absent = null;
      for (const { descriptor } of chain.splice(0)) closeSync(descriptor);
    },
  };
  return disk;
}

export function split(path: string): { parent: string; name: string } {
  const end = path.lastIndexOf("/");
  return { parent: path.slice(0, end), name: path.slice(end + 1) };
}

function readNames(directory: number, standIn: string): Map<string, Buffer[]> {
  const names = new Map<string, Buffer[]>();
  try {
    for (const name of readdirSync(selfOf(directory), { encoding: "buffer" })) {
      const text = shownName(name, standIn);
      names.set(text, [...(names.get(text) ?? []), name]);
    }
  } catch {
    // Unreadable: nothing is known of it.
  }
  return names;
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

/**
 * Whether two times, in microseconds, are equal: one engine rounds them, the other truncates them. After the year 2255,
 * a number has no single microseconds.
 */
export function isSameTime(one: number, other: number): boolean {
  return Math.abs(one - other) <= (Math.abs(one) < Number.MAX_SAFE_INTEGER ? 1 : 4);
}

/** A time in microseconds, for Node to set: a text, since it takes a negative number for the present. */
export function secondsOf(us: number): string {
  return `${us < 0 ? "-" : ""}${Math.trunc(Math.abs(us) / 1e6)}.${String(Math.abs(us) % 1e6).padStart(6, "0")}`;
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

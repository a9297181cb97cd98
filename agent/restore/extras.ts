import { closeSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { messageOf } from "../../shared/error-message.ts";
import { type EntryName, entryOf, openIn, selfOf } from "../system/descriptors.ts";
import type { Aside } from "./aside.ts";
import { type Disk, lstat } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ExtrasInput {
  /** Everything the snapshot has in the selection. */
  readonly nodes: readonly SnapshotNode[];
  /** Paths, as in the snapshot, that stay although the snapshot does not have them. */
  readonly isKept: (path: string) => boolean;
  /** Directories in which nothing is removed: those on other filesystems. */
  readonly isBeyond: (directory: string) => boolean;
  /** Where removed files are kept; null: nowhere. */
  readonly aside: Aside | null;
  /** Prefix of the paths on disk. */
  readonly root: string;
  readonly dryRun: boolean;
}

/** Entries on disk that the snapshot does not have, in directories it has. */
export interface Extras {
  /** Paths as in a snapshot; a directory comes after its entries. */
  readonly removed: readonly string[];
  readonly failed: readonly FailedPath[];
}

/**
 * Removes entries that are not in the snapshot; a dry run only lists them. Never follows links, never crosses mounts.
 */
export async function removeExtras(
  disk: Disk,
  { nodes, isKept, isBeyond, aside, root, dryRun }: ExtrasInput,
): Promise<Extras> {
  const children = new Map<string, Set<string>>();
  for (const { path, type } of nodes) {
    if (type === "dir") children.set(path, children.get(path) ?? new Set());
    const end = path.lastIndexOf("/");
    children.get(path.slice(0, end))?.add(path.slice(end + 1));
  }
  const removed: string[] = [];
  const failed: FailedPath[] = [];
  /** @returns whether all of it was removed, or would be */
  const remove = async (directory: number, name: EntryName, shown: string): Promise<boolean> => {
    if (isKept(shown)) return false;
    const place = entryOf(directory, name);
    try {
      const isDirectory = lstat(place)?.isDirectory() === true;
      if (isDirectory && !(await empty(openIn(directory, name), shown))) return false;
      if (!dryRun) {
        if (!isDirectory) await aside?.keep({ directory, name, path: root + shown });
        if (isDirectory) rmdirSync(place);
        else if (aside === null || lstat(place) !== null) unlinkSync(place);
      }
      removed.push(shown);
      return true;
    } catch (error) {
      failed.push({ path: shown, reason: messageOf(error) });
      return false;
    }
  };
  /** @returns whether it is empty now, or would be */
  const empty = async (directory: number, shown: string): Promise<boolean> => {
    try {
      let isEmpty = true;
      for (const name of readdirSync(selfOf(directory), { encoding: "buffer" })) {
        if (!(await remove(directory, name, `${shown}/${name.toString()}`))) isEmpty = false;
      }
      return isEmpty;
    } finally {
      closeSync(directory);
    }
  };
  for (const [path, expected] of children) {
    if (isBeyond(path)) continue;
    const directory = disk.open(path);
    if (directory === null) continue;
    for (const [name, [bytes, another]] of disk.names(path)) {
      if (bytes === undefined || another !== undefined || expected.has(name)) continue;
      await remove(directory, bytes, `${path}/${name}`);
    }
    await turn();
  }
  return { removed, failed };
}

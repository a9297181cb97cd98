import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import { type Disk, type DiskPath, forEachYielding, joinBytes, lstat } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ExtrasInput {
  /** Everything the snapshot has in the selection. */
  readonly nodes: readonly SnapshotNode[];
  /** Paths, as in the snapshot, that stay although the snapshot does not have them. */
  readonly isKept: (path: string) => boolean;
  /** Directories in which nothing is removed: those on other filesystems. */
  readonly isBeyond: (directory: string) => boolean;
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
export async function removeExtras(disk: Disk, { nodes, isKept, isBeyond, dryRun }: ExtrasInput): Promise<Extras> {
  const children = new Map<string, Set<string>>();
  for (const { path, type } of nodes) {
    if (type === "dir") children.set(path, children.get(path) ?? new Set());
    const end = path.lastIndexOf("/");
    children.get(path.slice(0, end))?.add(path.slice(end + 1));
  }
  const removed: string[] = [];
  const failed: FailedPath[] = [];
  /** @returns whether all of it was removed, or would be */
  const remove = (path: DiskPath, shown: string): boolean => {
    if (isKept(shown)) return false;
    const isDirectory = lstat(path)?.isDirectory() === true;
    try {
      if (isDirectory) {
        const names = readdirSync(path, { encoding: "buffer" });
        const gone = names.map((name) => remove(joinBytes(path, name), `${shown}/${name.toString()}`));
        if (gone.includes(false)) return false;
      }
      if (!dryRun) (isDirectory ? rmdirSync : unlinkSync)(path);
      removed.push(shown);
      return true;
    } catch (error) {
      failed.push({ path: shown, reason: messageOf(error) });
      return false;
    }
  };
  await forEachYielding(children, ([directory, expected]) => {
    const place = disk.find(directory);
    if (place === null || lstat(place)?.isDirectory() !== true || isBeyond(directory)) return;
    for (const [name, bytes] of disk.names(directory)) {
      if (bytes === null || expected.has(name)) continue;
      remove(joinBytes(place, bytes), `${directory}/${name}`);
    }
  });
  return { removed, failed };
}

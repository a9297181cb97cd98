import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import { type Disk, type DiskPath, forEachYielding, joinBytes, lstat } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ExtrasInput {
  /** Everything the snapshot holds in the selection. */
  readonly nodes: readonly SnapshotNode[];
  /** Paths, as in the snapshot, that stay although the snapshot does not hold them. */
  readonly isKept: (path: string) => boolean;
  /** Directories nothing is removed in: those of other filesystems, mounted inside. */
  readonly isBeyond: (directory: string) => boolean;
  readonly dryRun: boolean;
}

/** What the snapshot does not hold, in the directories that it holds. */
export interface Extras {
  /** As in a snapshot, what is in a directory before the directory itself. */
  readonly removed: readonly string[];
  readonly failed: readonly FailedPath[];
}

/** Removes what is there and not in the snapshot; with a dry run only names it. Never through a link, or on another mount. */
export async function removeExtras(disk: Disk, { nodes, isKept, isBeyond, dryRun }: ExtrasInput): Promise<Extras> {
  const children = new Map<string, Set<string>>();
  for (const { path, type } of nodes) {
    if (type === "dir") children.set(path, children.get(path) ?? new Set());
    const end = path.lastIndexOf("/");
    children.get(path.slice(0, end))?.add(path.slice(end + 1));
  }
  const removed: string[] = [];
  const failed: FailedPath[] = [];
  /** @returns whether all of it went, or would go */
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

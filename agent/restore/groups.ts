import { isAtOrBelow, type SnapshotNode } from "../providers/contents.ts";
import { fileSystemOf, isOursAlone } from "../system/descriptors.ts";
import { type Disk, split } from "./disk.ts";
import { isOursAllTheWay } from "./ours.ts";

/** Restored paths on one file system. */
export interface Group {
  /** As in the snapshot, with all that is below them. */
  readonly tops: readonly string[];
  /** A path on disk: a directory of this file system that is there, at or above the first of them. */
  readonly near: string;
}

/** @param root prefix of the tops on disk */
export function groupByFileSystem(disk: Disk, { root, tops }: { root: string; tops: readonly string[] }): Group[] {
  const groups = new Map<string, { tops: string[]; near: string }>();
  for (const top of tops) {
    const near = existingDirectory(disk, top);
    const directory = disk.open(near);
    const fileSystem = directory === null ? "" : fileSystemOf(directory);
    const group = groups.get(fileSystem);
    if (group === undefined) groups.set(fileSystem, { tops: [top], near: root + near || "/" });
    else group.tops.push(top);
  }
  return [...groups.values()];
}

/**
 * Whether nobody but root and the agent's own user can change any directory that is written to, now or when it has got
 * its attributes from the snapshot. Then the tool may write there itself.
 */
export function isOursThroughout(
  disk: Disk,
  { root, tops, nodes }: { root: string; tops: readonly string[]; nodes: readonly SnapshotNode[] },
): boolean {
  return (
    tops.every((top) => isOursAllTheWay(root + existingDirectory(disk, top) || "/")) &&
    nodes.every((node) => {
      if (node.type !== "dir") return true;
      if (!isOursAlone(node)) return false;
      const there = disk.stat(node.path);
      return there === null || !there.isDirectory() || isOursAlone(there);
    })
  );
}

function existingDirectory(disk: Disk, path: string): string {
  let at = path;
  while (at !== "" && disk.open(at) === null) at = split(at).parent;
  return at;
}

export function isInGroup({ tops }: Pick<Group, "tops">, path: string): boolean {
  return tops.some((top) => isAtOrBelow(path, top));
}

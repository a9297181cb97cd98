import { messageOf } from "../../shared/error-message.ts";
import { removeTree } from "../system/descriptors.ts";
import { type Disk, forEachYielding, typeOf } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ObstaclesInput {
  /** Entries that will be written over something that is there. */
  readonly nodes: readonly SnapshotNode[];
  /** Prefix of their paths on disk. */
  readonly root: string;
  /** Also remove further hard links of files, and everything that is no plain file. */
  readonly singleNames: boolean;
  /** Throws for a path on disk that stays, whatever is written. */
  readonly refuse: (path: string) => void;
}

/**
 * Removes entries of another type than the one to be written there, directories with all their content.
 * @returns what could not be removed
 */
export async function removeObstacles(
  disk: Disk,
  { nodes, root, singleNames, refuse }: ObstaclesInput,
): Promise<FailedPath[]> {
  const failed: FailedPath[] = [];
  const inTheWay: { path: string; type: string }[] = [];
  // All are found before the first is removed: without its other name, a hard link looks like a plain file.
  await forEachYielding(nodes, ({ path, type: wanted }) => {
    const there = disk.stat(path);
    if (there === null) return;
    const type = typeOf(there);
    const hasNames = type === "file" && there.nlink > 1n;
    const isOdd = singleNames && type !== "dir" && (type !== "file" || hasNames);
    if (type !== wanted || isOdd) inTheWay.push({ path, type });
  });
  for (const { path, type } of inTheWay) {
    try {
      const directory = disk.directoryOf(path);
      for (const name of disk.namesOf(path))
        if (directory !== null) removeTree(directory, name, { shown: root + path, refuse });
    } catch (error) {
      failed.push({ path, reason: obstacleReason(type, error) });
    }
  }
  disk.forget();
  return failed;
}

export function obstacleReason(type: string, error: unknown): string {
  return `a ${type} is in its place, and stays: ${messageOf(error)}`;
}

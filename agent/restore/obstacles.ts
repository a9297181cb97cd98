import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import { type Disk, type DiskPath, forEachYielding, joinBytes, lstat, typeOf } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ObstaclesInput {
  /** Entries that will be written over something that is there. */
  readonly nodes: readonly SnapshotNode[];
  /** Also remove further hard links of files, and everything that is no plain file. */
  readonly singleNames: boolean;
  /** Paths that stay, whatever is written: mount points, and the agent's own state. */
  readonly isKept: (path: string) => boolean;
}

/**
 * Removes entries of another type than the one to be written there, directories with all their content.
 * @returns what could not be removed
 */
export async function removeObstacles(
  disk: Disk,
  { nodes, singleNames, isKept }: ObstaclesInput,
): Promise<FailedPath[]> {
  const failed: FailedPath[] = [];
  const inTheWay: { path: string; type: string; place: DiskPath }[] = [];
  // All are found before the first is removed: without its other name, a hard link looks like a plain file.
  await forEachYielding(nodes, ({ path, type: wanted }) => {
    const place = disk.find(path);
    const there = place === null ? null : lstat(place);
    if (place === null || there === null) return;
    const type = typeOf(there);
    const hasNames = type === "file" && there.nlink > 1n;
    const isOdd = singleNames && type !== "dir" && (type !== "file" || hasNames);
    if (type !== wanted || isOdd) inTheWay.push({ path, type, place });
  });
  for (const { path, type, place } of inTheWay) {
    try {
      removeAll(place, isKept);
    } catch (error) {
      const reason = messageOf(error);
      failed.push({ path, reason: `a ${type} is in its place, and stays: ${reason}` });
    }
  }
  return failed;
}

/** Throws at the first entry that must stay, or can't be removed. */
function removeAll(path: DiskPath, isKept: (path: string) => boolean): void {
  if (isKept(path.toString())) throw new Error(`${path.toString()} may not be removed`);
  if (lstat(path)?.isDirectory() !== true) {
    unlinkSync(path);
    return;
  }
  for (const name of readdirSync(path, { encoding: "buffer" })) removeAll(joinBytes(path, name), isKept);
  rmdirSync(path);
}

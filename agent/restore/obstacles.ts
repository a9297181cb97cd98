import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import { type Disk, type DiskPath, forEachYielding, joinBytes, lstat, typeOf } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface ObstaclesInput {
  /** What will be written over something that is there. */
  readonly nodes: readonly SnapshotNode[];
  /** Also second names of files, and whatever is no plain file. */
  readonly singleNames: boolean;
  /** Paths that stay, whatever is written: mount points, and what the agent itself lives from. */
  readonly isKept: (path: string) => boolean;
}

/**
 * Takes away what is of another type than the entry that will be written in its place, a directory with all below it.
 * @returns what could not be taken away
 */
export async function removeObstacles(
  disk: Disk,
  { nodes, singleNames, isKept }: ObstaclesInput,
): Promise<FailedPath[]> {
  const failed: FailedPath[] = [];
  const inTheWay: { path: string; type: string; place: DiskPath }[] = [];
  // All of them are found before the first goes: with one of two names gone, the other looks like a plain file.
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

/** Throws at the first thing that is kept, or can't be removed. */
function removeAll(path: DiskPath, isKept: (path: string) => boolean): void {
  if (isKept(path.toString())) throw new Error(`${path.toString()} may not be removed`);
  if (lstat(path)?.isDirectory() !== true) {
    unlinkSync(path);
    return;
  }
  for (const name of readdirSync(path, { encoding: "buffer" })) removeAll(joinBytes(path, name), isKept);
  rmdirSync(path);
}

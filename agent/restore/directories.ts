import { chmodSync, chownSync, fstatSync, utimesSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import { makeIn, openIn, selfOf, withDirectory } from "../system/descriptors.ts";
import { type Disk, isSameTime, modeOf, mtimeUsOf, secondsOf } from "./disk.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeUs: number;
}

/**
 * Attributes of the existing directories that are not themselves restored: the machine's own above (/, /var, /home),
 * and those that keep their attributes. Writing into them changes them, and so does restic, which gives every parent
 * directory the attributes of the snapshot.
 * @param input `restored`: directories that get the snapshot's attributes
 */
export function readDirectoryAttributes(
  disk: Disk,
  { paths, restored }: { paths: Iterable<string>; restored: ReadonlySet<string> },
): Map<string, Attributes> {
  const found = new Map<string, Attributes>();
  const seen = new Set<string>();
  for (const path of paths) {
    for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
      if (seen.has(at)) break;
      seen.add(at);
      if (restored.has(at)) continue;
      const there = disk.stat(at);
      if (there?.isDirectory() !== true || !mayChange(there)) continue;
      const { uid, gid } = there;
      found.set(at, { uid: Number(uid), gid: Number(gid), mode: modeOf(there), mtimeUs: mtimeUsOf(there) });
    }
  }
  return found;
}

/** An agent that is not root changes its own directories only. */
function mayChange({ uid }: { uid: bigint }): boolean {
  const own = process.getuid?.() ?? 0;
  return own === 0 || uid === BigInt(own);
}

/**
 * Creates missing parent directories of the restored paths, with mode 0755: not every snapshot contains them.
 * @returns paths that can't be restored because this failed
 */
export function makeParents(disk: Disk, include: readonly string[]): FailedPath[] {
  const failed: FailedPath[] = [];
  for (const path of include) {
    try {
      const parts = path.split("/").slice(1, -1);
      for (const [index] of parts.entries()) makeParent(disk, `/${parts.slice(0, index + 1).join("/")}`);
    } catch (error) {
      failed.push({ path, reason: messageOf(error) });
    }
  }
  return failed;
}

function makeParent(disk: Disk, path: string): void {
  if (disk.stat(path) !== null) return;
  const [name = ""] = disk.namesOf(path);
  const parent = disk.directoryOf(path);
  if (parent === null) throw new Error(`there is no directory for ${path}`);
  makeIn(parent, name);
  withDirectory(openIn(parent, name), (made) => chmodSync(selfOf(made), 0o755));
  disk.forget();
}

/** Sets the directories' attributes, whatever the engine left, the deepest first. */
export function applyDirectoryAttributes(
  disk: Disk,
  { original, restored }: { original: Map<string, Attributes>; restored: readonly SnapshotNode[] },
): FailedPath[] {
  const failed: FailedPath[] = [];
  const wanted = new Map<string, Attributes>(original);
  for (const node of restored) wanted.set(node.path, node);
  // What is in a directory comes before it, and after it in the alphabet.
  const deepestFirst = [...wanted].toSorted(([one], [other]) => (one < other ? 1 : -1));
  for (const [path, attributes] of deepestFirst) {
    const directory = disk.open(path);
    if (directory === null) continue;
    try {
      applyAttributes(directory, attributes);
    } catch (error) {
      failed.push({ path, reason: messageOf(error) });
    }
  }
  return failed;
}

function applyAttributes(directory: number, { mode, uid, gid, mtimeUs }: Attributes): void {
  const there = fstatSync(directory, { bigint: true });
  const place = selfOf(directory);
  const isOwned = there.uid === BigInt(uid) && there.gid === BigInt(gid);
  if (!isOwned) chownSync(place, uid, gid);
  if (!isOwned || modeOf(there) !== mode) chmodSync(place, mode);
  if (!isSameTime(mtimeUsOf(there), mtimeUs))
    utimesSync(place, secondsOf(Number(there.atimeNs / 1000n)), secondsOf(mtimeUs));
}

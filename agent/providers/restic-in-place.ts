import { type Stats, lstatSync, unlinkSync } from "node:fs";
import { chmod, chown, lstat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import type { RunLog } from "../runner-log.ts";
import { canBeLookedUp, eachNode } from "./restic-contents.ts";
import type { ResticRunner } from "./restic-command.ts";
import { isThere } from "./snapshot-paths.ts";

interface Selection {
  readonly snapshot: string;
  readonly include: readonly string[];
}

/**
 * Makes room for a restic before 0.17, which writes through a symbolic link that is in a file's place, fails on links and
 * special files that are there already, and deletes a hard link without making it again (all tried with 0.14).
 * Only what the snapshot holds at the same path is removed, and never a file with a single name, or a directory.
 */
export async function clearTheWay(runner: ResticRunner, selection: Selection): Promise<void> {
  const inTheWay: string[] = [];
  await eachNode(runner, selection, (node) => {
    if (!canBeLookedUp(node)) return;
    const there = lstatSync(node.path, { throwIfNoEntry: false });
    if (there === undefined || there.isDirectory()) return;
    if (!there.isFile() || there.nlink > 1) inTheWay.push(node.path);
  });
  for (const path of inTheWay) {
    try {
      unlinkSync(path);
    } catch (error) {
      runner.access.log.line(
        `could not make room at ${path}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}

/** @returns the paths the snapshot holds that are not there now */
export async function findMissing(runner: ResticRunner, selection: Selection, root: string): Promise<string[]> {
  const missing: string[] = [];
  let unknown = 0;
  await eachNode(runner, selection, (node) => {
    if (!canBeLookedUp(node)) unknown++;
    else if (!isThere(root + node.path)) missing.push(node.path);
  });
  if (unknown > 0) runner.access.log.line(`${unknown} names are not UTF-8: whether they are there was not checked`);
  return missing;
}

/**
 * restic also gives the directories above what it restores the mode, owner and times they had in the snapshot. In place,
 * those are the machine's own (/, /var, /home): they stay as they are.
 * @returns puts them back
 */
export async function rememberParents(include: readonly string[], log: RunLog): Promise<() => Promise<void>> {
  const parents = new Map<string, Stats>();
  for (const path of include) {
    for (let parent = dirname(path); !parents.has(parent); parent = dirname(parent)) {
      const found = await lstat(parent).catch(() => null);
      if (found !== null) parents.set(parent, found);
      if (parent === "/") break;
    }
  }
  return async () => {
    for (const [path, { uid, gid, mode, atime, mtime }] of parents) {
      const now = await lstat(path);
      if (now.uid === uid && now.gid === gid && now.mode === mode && now.mtimeMs === mtime.getTime()) continue;
      try {
        if (now.uid !== uid || now.gid !== gid) await chown(path, uid, gid);
        if (now.mode !== mode) await chmod(path, mode & 0o7777);
        await utimes(path, atime, mtime);
      } catch (error) {
        log.line(`could not put back the mode of ${path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
}

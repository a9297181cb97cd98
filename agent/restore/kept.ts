import { dirname } from "node:path";
import { isLocalLocation } from "../../shared/location.ts";
import { leavesOut } from "../../shared/pattern-dialects.ts";
import { mountPoints } from "../system/mounts.ts";
import { isAtOrBelow } from "../providers/contents.ts";
import type { Access } from "../providers/provider.ts";

/** What a restore removes under no circumstances. */
export interface Kept {
  /** Of a path on the disk: it is mounted there, or the agent lives from it. */
  isNeeded(path: string): boolean;
  /** Of a path in the snapshot: it is needed, or the contract leaves it out, so that no snapshot can hold it. */
  isLeftOut(path: string): boolean;
  /** Of a directory in the snapshot: it is on another filesystem, mounted below what is restored. */
  isBeyond(directory: string): boolean;
}

/** Looks at what is mounted now. */
export function openKept(
  { paths, repository }: Pick<Access, "paths" | "repository">,
  { root, include, excludes }: { root: string; include: readonly string[]; excludes: readonly string[] },
): Kept {
  const mounts = mountPoints();
  const inside = [...mounts].filter((mount) => include.some((path) => isBelow(mount, root + path)));
  const own = [paths.state, paths.cache, dirname(paths.policyJson)];
  if (isLocalLocation(repository.location)) own.push(repository.location);
  const isNeeded = (path: string): boolean => mounts.has(path) || own.some((needed) => isAtOrBelow(path, needed));
  return {
    isNeeded,
    isLeftOut: (path) => isNeeded(root + path) || excludes.some((pattern) => leavesOut(pattern, path)),
    isBeyond: (directory) => inside.some((mount) => isAtOrBelow(root + directory, mount)),
  };
}

function isBelow(path: string, directory: string): boolean {
  return path !== directory && isAtOrBelow(path, directory);
}

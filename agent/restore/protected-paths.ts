import { dirname } from "node:path";
import { isLocalLocation } from "../../shared/location.ts";
import { isExcluded } from "../../shared/pattern-dialects.ts";
import { mountPoints } from "../system/mounts.ts";
import { isAtOrBelow } from "../providers/contents.ts";
import type { Access } from "../providers/provider.ts";

/** Paths that a restore never removes. */
export interface ProtectedPaths {
  /** Of a path on disk: a mount point, or a path the agent itself needs. */
  isProtected(path: string): boolean;
  /** Of a path in the snapshot: it is protected, or the contract excludes it, so that no snapshot can contain it. */
  mustStay(path: string): boolean;
  /** Of a directory in the snapshot: it is on another filesystem, mounted below a restored path. */
  isOtherFilesystem(directory: string): boolean;
}

/** Uses the mounts as they are now. */
export function findProtectedPaths(
  { paths, repository }: Pick<Access, "paths" | "repository">,
  { root, include, excludes }: { root: string; include: readonly string[]; excludes: readonly string[] },
): ProtectedPaths {
  const mounts = mountPoints();
  const inside = [...mounts].filter((mount) => include.some((path) => isBelow(mount, root + path)));
  const own = [paths.state, paths.cache, dirname(paths.policyJson)];
  if (isLocalLocation(repository.location)) own.push(repository.location);
  const isProtected = (path: string): boolean => mounts.has(path) || own.some((needed) => isAtOrBelow(path, needed));
  return {
    isProtected,
    mustStay: (path) => isProtected(root + path) || excludes.some((pattern) => isExcluded(pattern, path)),
    isOtherFilesystem: (directory) => inside.some((mount) => isAtOrBelow(root + directory, mount)),
  };
}

function isBelow(path: string, directory: string): boolean {
  return path !== directory && isAtOrBelow(path, directory);
}

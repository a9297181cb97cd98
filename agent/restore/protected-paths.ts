import { dirname } from "node:path";
import { isLocalLocation } from "../../shared/location.ts";
import { isExcluded } from "../../shared/pattern-dialects.ts";
import { agentPlaces, systemPlaces } from "../policy/protected.ts";
import { isAside } from "./aside-record.ts";
import { lstat } from "./disk.ts";
import { mountPoints } from "../system/mounts.ts";
import { isAtOrBelow } from "../providers/contents.ts";
import type { Access } from "../providers/provider.ts";

/** Paths that a restore never removes. */
export interface ProtectedPaths {
  /** Of a path on disk: a mount point, or a path the agent itself needs. */
  isProtected(path: string): boolean;
  /** Of a path on disk: why a restore neither makes it nor writes over it; null: it may. */
  reasonNotToWrite(path: string): string | null;
  /**
   * Of a directory that is there: why it keeps its mode and owner; null: it may get others. A home's are its user's.
   */
  reasonNotToChange(directory: string): string | null;
  /** Of a path on disk: the first symbolic link above it. Its owner chose where it leads. */
  linkAbove(path: string): string | null;
  /** Of a path in the snapshot: it is protected, or the contract excludes it, so that no snapshot can contain it. */
  mustStay(path: string): boolean;
  /** Of a directory in the snapshot: it is on another filesystem, mounted below a restored path. */
  isOtherFilesystem(directory: string): boolean;
}

interface ProtectionInput {
  readonly root: string;
  readonly include: readonly string[];
  readonly excludes: readonly string[];
  /** Paths that root named itself, at the host's own terminal. */
  readonly named: readonly string[];
  /** A directory that the agent has made for itself is the target. */
  readonly isOwnTarget: boolean;
}

/** Uses the mounts, users and links as they are now. */
export function findProtectedPaths(
  { paths, repository }: Pick<Access, "paths" | "repository">,
  { root, include, excludes, named, isOwnTarget }: ProtectionInput,
): ProtectedPaths {
  const mounts = mountPoints();
  const inside = [...mounts].filter((mount) => include.some((path) => isBelow(mount, root + path)));
  const agent = agentPlaces(paths);
  if (isLocalLocation(repository.location)) agent.push(repository.location);
  const system = systemPlaces().filter((place) => !named.some((path) => isAtOrBelow(path, place)));
  const places = new Set(isOwnTarget ? [] : [...agent, ...system].map((place) => place.replace(/\/+$/, "")));
  const placeOf = (path: string): string | undefined => [path, ...above(path)].find((one) => places.has(one));
  /** Directories above the places, with one of them. What is in a home is its user's, so a home is none of them. */
  const fixed = new Map<string, string>();
  for (const place of places) {
    if (place.endsWith("/.ssh")) continue;
    for (const directory of above(place)) fixed.set(directory, place);
  }
  const isProtected = (path: string): boolean => mounts.has(path) || placeOf(path) !== undefined;
  const links = new Map<string, string | null>();
  return {
    isProtected,
    reasonNotToWrite(path) {
      const place = placeOf(path);
      if (place === undefined) return null;
      const advice = agent.includes(place) ? "" : "; root can restore it on the host, by naming it with --include";
      return `${place} is protected on this host: nothing is written there${advice}`;
    },
    reasonNotToChange(directory) {
      const place = fixed.get(directory);
      return place === undefined ? null : `${place}, which is protected on this host, is in it: it stays as it is`;
    },
    linkAbove(path) {
      const parent = dirname(path);
      const known = links.get(parent);
      if (known !== undefined) return known;
      const link = isOwnTarget ? null : linkIn(parent);
      links.set(parent, link);
      return link;
    },
    mustStay: (path) =>
      isProtected(root + path) || isAside(path) || excludes.some((pattern) => isExcluded(pattern, path)),
    isOtherFilesystem: (directory) => inside.some((mount) => isAtOrBelow(root + directory, mount)),
  };
}

/** The directories above a path, nearest first, "/" last. */
function above(path: string): string[] {
  const found: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    found.push(at);
    if (at === "/" || at === ".") return found;
  }
}

/** The first part of a directory's path that is a symbolic link; null when none is. */
function linkIn(directory: string): string | null {
  const parts = directory.split("/");
  const prefixes = parts.map((_part, index) => parts.slice(0, index + 1).join("/")).filter((prefix) => prefix !== "");
  return prefixes.find((prefix) => lstat(prefix)?.isSymbolicLink() === true) ?? null;
}

function isBelow(path: string, directory: string): boolean {
  return path !== directory && isAtOrBelow(path, directory);
}

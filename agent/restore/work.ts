import type { Access } from "../providers/provider.ts";
import { type FailedPath, isAtOrBelow, type SnapshotContents, type SnapshotNode } from "../providers/contents.ts";
import type { Aside } from "./aside.ts";
import type { Disk } from "./disk.ts";
import type { Plan } from "./plan.ts";
import type { ProtectedPaths } from "./protected-paths.ts";
import type { RestoreInput } from "./request.ts";

/** Context of one restore, shared by all its steps. */
export interface RestoreWork {
  readonly tool: SnapshotContents;
  readonly access: Access;
  readonly input: RestoreInput;
  /** Prefix of the snapshot's paths on disk. */
  readonly root: string;
  readonly disk: Disk;
  /** Directories of the restore's own; null: it writes into one that is the agent's own anyway. */
  readonly aside: Aside | null;
  /** The restored paths, as in the snapshot. */
  readonly tops: readonly string[];
  /** All of the selection, parents first. */
  readonly nodes: readonly SnapshotNode[];
  /** The snapshot's directories above the selection. */
  readonly above: readonly SnapshotNode[];
  readonly protectedPaths: ProtectedPaths;
}

/** What is to be written. */
export interface Planned {
  readonly plan: Plan;
  readonly planned: readonly SnapshotNode[];
  /** Paths that could not be written are added here. */
  readonly failed: Map<string, string>;
  /** Directories that were moved into place as a whole are added here. */
  readonly moved: Set<string>;
  /** What has been put in place without its file flags is added here. */
  readonly unflagged: SnapshotNode[];
}

/** What is to be written on one file system. */
export interface Part extends Planned {
  readonly include: readonly string[];
  readonly nodes: readonly SnapshotNode[];
  readonly near: string;
}

export function wantedOf({ planned, nodes, failed }: Part): { nodes: readonly SnapshotNode[]; isAll: boolean } {
  const wanted = failed.size === 0 ? planned : planned.filter(({ path }) => !isAtOrBelowAny(path, failed));
  return { nodes: wanted, isAll: wanted.length === nodes.filter(({ type }) => type !== "socket").length };
}

/** Where replaced and removed files go, if they are kept. */
export function keeping({ aside }: RestoreWork): Aside | null {
  return aside?.keepsReplaced === true ? aside : null;
}

/** Throws for paths on disk that are never removed. */
export function refuser({ protectedPaths }: RestoreWork): (path: string) => void {
  return (path) => {
    if (protectedPaths.isProtected(path)) throw new Error(`${path} may not be removed`);
  };
}

export function isBelowMoved(path: string, moved: ReadonlySet<string>): boolean {
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) if (moved.has(at)) return true;
  return false;
}

export function isAtOrBelowAny(path: string, failed: ReadonlyMap<string, string>): boolean {
  return [...failed.keys()].some((blocked) => isAtOrBelow(path, blocked));
}

export function addFailures(failed: Map<string, string>, more: readonly FailedPath[]): void {
  for (const { path, reason } of more) if (!failed.has(path)) failed.set(path, reason);
}

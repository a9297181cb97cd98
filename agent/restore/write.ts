import type { RunFailure } from "../../shared/failure.ts";
import type { Access } from "../providers/provider.ts";
import type { RestoreInput } from "./request.ts";
import { makeParents, readDirectoryAttributes, applyDirectoryAttributes } from "./directories.ts";
import { difference, type Disk, openDisk } from "./disk.ts";
import { removeExtras } from "./extras.ts";
import type { ProtectedPaths } from "./protected-paths.ts";
import type { Plan } from "./plan.ts";
import { removeObstacles } from "./obstacles.ts";
import { type FailedPath, isAtOrBelow, type SnapshotContents, type SnapshotNode } from "../providers/contents.ts";

/** Context of one restore, shared by all its steps. */
export interface RestoreWork {
  readonly tool: SnapshotContents;
  readonly access: Access;
  readonly input: RestoreInput;
  /** Prefix of the snapshot's paths on disk. */
  readonly root: string;
  /** All of the selection, parents first. */
  readonly nodes: readonly SnapshotNode[];
  /** The snapshot's directories above the selection. */
  readonly above: readonly SnapshotNode[];
  readonly protectedPaths: ProtectedPaths;
}

export interface Written {
  /** What was to be written, directories included. */
  readonly nodes: readonly SnapshotNode[];
  /** Path and reason. */
  readonly failed: ReadonlyMap<string, string>;
  /** Paths that were to be written and are not, since their place is protected. */
  readonly withheld: ReadonlySet<string>;
  readonly failure: RunFailure | null;
  /** What was removed because the snapshot does not have it; null when that was skipped after a failure. */
  readonly removed: readonly string[] | null;
}

/** Removes obstacles, has the engine write, removes extras, and sets every directory's attributes. */
export async function write(work: RestoreWork, plan: Plan): Promise<Written> {
  const { tool, input, root, nodes, above, protectedPaths } = work;
  const disk = openDisk(root, tool.replacementChar);
  const chosen = new Set([...plan.create, ...plan.update]);
  const failed = new Map<string, string>();
  const withheld = withheldFrom(work, { disk, chosen });
  addFailures(failed, withheld.failed);
  const planned = nodes.filter((node) => chosen.has(node) && !withheld.nodes.has(node));
  const made = above.filter(({ path }) => disk.stat(path) === null);
  const restored = [...made, ...planned.filter(({ type }) => type === "dir")];
  const original = readDirectoryAttributes(disk, {
    paths: new Set(nodes.map(({ path, type }) => (type === "dir" ? path : path.slice(0, path.lastIndexOf("/"))))),
    restored: new Set(restored.map(({ path }) => path)),
  });
  let failure: RunFailure | null = null;
  let removed: readonly string[] | null = null;
  try {
    addFailures(
      failed,
      makeParents(
        root,
        input.include.filter((path) => !isAtOrBelowAny(path, failed)),
      ),
    );
    failure = await extract(work, { plan, planned, failed });
    if (failure === null && failed.size === 0) {
      const extras = {
        nodes,
        isKept: protectedPaths.mustStay,
        isBeyond: protectedPaths.isOtherFilesystem,
        dryRun: false,
      };
      const done = input.delete
        ? await removeExtras(openDisk(root, tool.replacementChar), extras)
        : { removed: [], failed: [] };
      removed = done.removed;
      addFailures(failed, done.failed);
    }
  } finally {
    addFailures(failed, applyDirectoryAttributes(openDisk(root, tool.replacementChar), { original, restored }));
    addFailures(failed, withheld.kept);
  }
  return { nodes: planned, failed, withheld: new Set([...withheld.nodes].map(({ path }) => path)), failure, removed };
}

/**
 * What stays out of what the tool writes: where it would go is protected, or leads through a symbolic link that this
 * restore does not replace by a directory. What is there as in the snapshot already lacks nothing; all else is a
 * failure.
 * @returns `kept`: directories that stay as they are, while what is in them is written
 */
function withheldFrom(
  { root, nodes, protectedPaths }: RestoreWork,
  { disk, chosen }: { disk: Disk; chosen: ReadonlySet<SnapshotNode> },
): { nodes: ReadonlySet<SnapshotNode>; failed: FailedPath[]; kept: FailedPath[] } {
  const replaced = new Set<string>();
  for (const { path, type } of chosen) if (type === "dir") replaced.add(root + path);
  const withheld = new Set<SnapshotNode>();
  const [failed, kept]: [FailedPath[], FailedPath[]] = [[], []];
  for (const node of nodes) {
    if (!chosen.has(node)) continue;
    const place = root + node.path;
    const there = disk.stat(node.path);
    const link = protectedPaths.linkAbove(place);
    const isLedAway = link !== null && !replaced.has(link);
    const reason = isLedAway
      ? `${link} is a symbolic link: nothing is written through it`
      : (protectedPaths.reasonNotToWrite(place) ?? (there === null ? null : protectedPaths.reasonNotToChange(place)));
    if (reason === null) continue;
    withheld.add(node);
    if (there !== null && difference(node, there) === null) continue;
    const isOnlyAbove = !isLedAway && protectedPaths.reasonNotToWrite(place) === null;
    (isOnlyAbove ? kept : failed).push({ path: node.path, reason });
  }
  return { nodes: withheld, failed, kept };
}

interface Planned {
  readonly plan: Plan;
  readonly planned: readonly SnapshotNode[];
  /** Paths that could not be written are added here. */
  readonly failed: Map<string, string>;
}

async function extract(work: RestoreWork, { plan, planned, failed }: Planned): Promise<RunFailure | null> {
  const { tool, input, root, nodes, protectedPaths, access } = work;
  const { snapshot, include, overwrite, onProgress } = input;
  const isWhole = planned.length === nodes.filter(({ type }) => type !== "socket").length;
  for (let isAgain = false; ; isAgain = true) {
    const room = {
      nodes: isAgain ? planned : plan.update,
      singleNames: tool.needsSingleNames,
      isKept: protectedPaths.isProtected,
    };
    addFailures(failed, await removeObstacles(openDisk(root, tool.replacementChar), room));
    const wanted = failed.size === 0 ? planned : planned.filter(({ path }) => !isAtOrBelowAny(path, failed));
    if (wanted.length === 0) return null;
    const isAll = isWhole && failed.size === 0;
    const which = { snapshot, include, overwrite, all: nodes, nodes: isAll ? null : wanted };
    const isFresh = !plan.update.some(({ type }) => type !== "dir");
    const mayUseOwnOverwrite = !plan.isBlocked && failed.size === 0;
    const done = await tool.extract({ ...which, root, isFresh, mayUseOwnOverwrite, onProgress });
    addFailures(failed, done.failed);
    if (done.failure !== null) return done.failure;
    const missing = missingOf(work, wanted, failed);
    if (missing.length === 0) return null;
    if (isAgain || failed.size > 0) {
      addFailures(failed, missing);
      return null;
    }
    // restic 0.14 deletes a hard link without creating it again; once every file has one name only, it does not.
    access.log.line(`${missing.length} entries are not there after the restore: restoring them again`);
  }
}

function missingOf(
  { tool, root }: RestoreWork,
  wanted: readonly SnapshotNode[],
  failed: ReadonlyMap<string, string>,
): FailedPath[] {
  const disk = openDisk(root, tool.replacementChar);
  const missing = wanted.filter(({ path }) => !failed.has(path) && disk.stat(path) === null && !disk.isAmbiguous(path));
  return missing.map(({ path }) => ({ path, reason: "is not there after the restore" }));
}

function isAtOrBelowAny(path: string, failed: ReadonlyMap<string, string>): boolean {
  return [...failed.keys()].some((blocked) => isAtOrBelow(path, blocked));
}

function addFailures(failed: Map<string, string>, more: readonly FailedPath[]): void {
  for (const { path, reason } of more) if (!failed.has(path)) failed.set(path, reason);
}

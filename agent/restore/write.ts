import type { RunFailure } from "../../shared/failure.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";
import { dropAlreadyRight, withoutPlaces } from "./already-right.ts";
import { applyDirectoryAttributes, makeParents, readDirectoryAttributes } from "./directories.ts";
import { difference } from "./disk.ts";
import { removeExtras } from "./extras.ts";
import { setFileFlags } from "./file-flags.ts";
import { groupByFileSystem, isInGroup, isOursThroughout } from "./groups.ts";
import type { Plan } from "./plan.ts";
import {
  addFailures,
  isAtOrBelowAny,
  isBelowMoved,
  keeping,
  type Part,
  type Planned,
  type RestoreWork,
} from "./work.ts";
import { extractAside } from "./write-aside.ts";
import { extractDirectly } from "./write-directly.ts";

export interface Written {
  /** What was to be written, directories included. */
  readonly nodes: readonly SnapshotNode[];
  /** Path and reason. */
  readonly failed: ReadonlyMap<string, string>;
  /** Files and the like that could not be written, and are as in the snapshot all the same. */
  readonly alreadyRight: ReadonlySet<string>;
  /** Paths that were to be written and are not, since their place is protected. */
  readonly withheld: ReadonlySet<string>;
  readonly failure: RunFailure | null;
  /** What was removed because the snapshot does not have it; null when that was skipped after a failure. */
  readonly removed: readonly string[] | null;
}

/** Has everything written, removes extras, and sets every directory's attributes. */
export async function write(work: RestoreWork, plan: Plan): Promise<Written> {
  const { input, disk, nodes, above, protectedPaths } = work;
  const chosen = new Set([...plan.create, ...plan.update]);
  const failed = new Map<string, string>();
  const withheld = withheldFrom(work, chosen);
  addFailures(failed, withheld.failed);
  const planned = nodes.filter((node) => chosen.has(node) && !withheld.nodes.has(node));
  const made = above.filter(({ path }) => disk.stat(path) === null);
  const directories = planned.filter(({ type }) => type === "dir");
  const original = readDirectoryAttributes(disk, {
    paths: new Set(nodes.map(({ path, type }) => (type === "dir" ? path : path.slice(0, path.lastIndexOf("/"))))),
    restored: new Set([...made, ...directories].map(({ path }) => path)),
  });
  const moved = new Set<string>();
  const unflagged: SnapshotNode[] = [];
  let failure: RunFailure | null = null;
  let alreadyRight: ReadonlySet<string> = new Set();
  let removed: readonly string[] | null = null;
  try {
    const reachable = input.include.filter((path) => !isAtOrBelowAny(path, failed));
    addFailures(failed, makeParents(disk, reachable));
    disk.forget();
    failure = await extract(work, { plan, planned, failed, moved, unflagged });
    if (failure === null) alreadyRight = await dropAlreadyRight(work, { planned, failed });
    if (failure === null && failed.size === 0) {
      const done = input.delete
        ? await removeExtras(disk, {
            nodes,
            isKept: protectedPaths.mustStay,
            isBeyond: protectedPaths.isOtherFilesystem,
            aside: keeping(work),
            root: work.root,
            dryRun: false,
          })
        : { removed: [], failed: [] };
      removed = done.removed;
      addFailures(failed, done.failed);
    }
  } finally {
    disk.forget();
    const restored = [...made, ...directories.filter(({ path }) => !isBelowMoved(path, moved))];
    addFailures(failed, withoutPlaces(applyDirectoryAttributes(disk, { original, restored })));
    addFailures(failed, withheld.kept);
    disk.forget();
    const reason = await setFileFlags(
      work.access,
      disk,
      unflagged.filter(({ path }) => !failed.has(path)),
    );
    if (reason !== null) work.access.log.line(`file flags, such as immutable, are not restored: ${reason}`);
    disk.forget();
  }
  const withheldPaths = new Set([...withheld.nodes].map(({ path }) => path));
  return { nodes: planned, failed, alreadyRight, withheld: withheldPaths, failure, removed };
}

/**
 * What stays out of what the tool writes: where it would go is protected, or leads through a symbolic link that this
 * restore does not replace by a directory. What is there as in the snapshot already lacks nothing; all else is a
 * failure.
 * @returns `kept`: directories that stay as they are, while what is in them is written
 */
export function withheldFrom(
  { root, disk, nodes, protectedPaths }: RestoreWork,
  chosen: ReadonlySet<SnapshotNode>,
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

/** One file system after the other. */
async function extract(work: RestoreWork, all: Planned): Promise<RunFailure | null> {
  const { root, disk, nodes, input } = work;
  const groups = groupByFileSystem(disk, { root, tops: work.tops });
  for (const group of groups) {
    const isOnly = groups.length === 1;
    const within = <T extends SnapshotNode>(some: readonly T[]): readonly T[] =>
      isOnly ? some : some.filter(({ path }) => isInGroup(group, path));
    const part: Part = {
      ...all,
      planned: within(all.planned),
      include: isOnly ? input.include : group.tops,
      nodes: within(nodes),
      near: group.near,
    };
    if (part.planned.length === 0) continue;
    const failure = mayWriteDirectly(work, { part, tops: group.tops })
      ? await extractDirectly(work, part)
      : await extractAside(work, part);
    disk.forget();
    if (failure !== null) return failure;
  }
  return null;
}

/** The tool knows paths by name only: it may write where nobody else can put a link in the place of a directory. */
function mayWriteDirectly(work: RestoreWork, { part, tops }: { part: Part; tops: readonly string[] }): boolean {
  const { aside, disk, root, input } = work;
  if (aside === null) return true;
  if (keeping(work) !== null && part.plan.update.some(({ type, path }) => type !== "dir" || disk.open(path) === null)) {
    return false;
  }
  if (input.isTargetClosed) return true;
  return isOursThroughout(disk, { root, tops, nodes: part.nodes });
}

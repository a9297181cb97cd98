import type { FailedPath, SnapshotNode } from "../providers/contents.ts";
import { difference, split } from "./disk.ts";
import { compareContents } from "./verify.ts";
import type { Planned, RestoreWork } from "./work.ts";

/** Not compared: such a failure stays one, whatever else is right. */
const OF_OTHER_ATTRIBUTES = /xattr|\bacl\b/i;

/** A directory's failure of any other kind may be about what is in it. At the end: before it, there may be any name. */
const OF_RIGHTS = /(?:^|: |\] )(?:operation not permitted|permission denied|read-only file system)(?:: '[^']*')?$/i;

/**
 * Looks at what could not be written: on a read-only file system, immutable, append-only. What is as in the snapshot
 * nevertheless is no failure; where the content is right, the reason says what is not. That the tool may not change a
 * directory is no failure yet either: its attributes are set at the end.
 * @returns the files, links and the like that are as in the snapshot
 */
export async function dropAlreadyRight(
  work: RestoreWork,
  { planned, failed }: Pick<Planned, "planned" | "failed">,
): Promise<ReadonlySet<string>> {
  const right = new Set<string>();
  const doubtful = new Map<string, { node: SnapshotNode; reason: string; differs: string | null }>();
  for (const node of failed.size === 0 ? [] : planned) {
    const reason = failed.get(node.path);
    const there = reason === undefined ? null : work.disk.stat(node.path);
    if (reason === undefined || there === null || OF_OTHER_ATTRIBUTES.test(reason)) continue;
    const differs = difference(node, there);
    if (node.type === "dir") {
      if (there.isDirectory() && OF_RIGHTS.test(reason)) failed.delete(node.path);
    } else if (differs === null || SETTABLE.has(differs)) doubtful.set(node.path, { node, reason, differs });
  }
  const hasContent = await withSameContent(
    work,
    [...doubtful.values()].map(({ node }) => node),
  );
  for (const [path, { reason, differs }] of doubtful) {
    if (!hasContent(path)) continue;
    if (differs === null) {
      failed.delete(path);
      right.add(path);
    } else failed.set(path, `the content is as in the snapshot, but its ${differs} could not be set: ${reason}`);
  }
  return right;
}

const SETTABLE: ReadonlySet<string> = new Set(["mode", "owner", "mtime"]);

/** Asks the repository. What it does not answer counts as another content. */
async function withSameContent(
  { tool, root, input }: RestoreWork,
  nodes: readonly SnapshotNode[],
): Promise<(path: string) => boolean> {
  const without = new Set(nodes.filter(({ type }) => type !== "file" && type !== "symlink").map(({ path }) => path));
  const asked = nodes.filter(({ path }) => !without.has(path));
  // A link's target comes with its directory.
  const include = [...new Set(asked.map(({ path, type }) => (type === "symlink" ? split(path).parent || "/" : path)))];
  const same = new Map<string, string | null>();
  if (include.length > 0) {
    await compareContents(tool, { root, snapshot: input.snapshot, include, nodes: asked }, (content, isSame) => {
      if (isSame) same.set(content.path, content.sameFileAs);
    });
  }
  return (path) => {
    const first = same.get(path);
    return without.has(path) || first === null || (first !== undefined && same.get(first) === null);
  };
}

/** The error of a system call without the paths of open directories, which mean nothing to a person. */
export function withoutPlaces(failed: readonly FailedPath[]): FailedPath[] {
  return failed.map(({ path, reason }) => ({ path, reason: reason.replace(/, \w+ '\/proc\/self\/fd\/.*$/s, "") }));
}

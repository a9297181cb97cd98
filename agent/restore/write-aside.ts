import { closeSync, statfsSync } from "node:fs";
import type { RunFailure } from "../../shared/failure.ts";
import type { SnapshotNode } from "../providers/contents.ts";
import { runError } from "../run-error.ts";
import { entryOf, openDirectory, removeTree } from "../system/descriptors.ts";
import { withoutPlaces } from "./already-right.ts";
import { copyAcross } from "./copy.ts";
import { applyDirectoryAttributes } from "./directories.ts";
import { type Disk, lstat, openDisk } from "./disk.ts";
import { copyExtendedAttributes } from "./extended-attributes.ts";
import { putInPlace } from "./place.ts";
import { addFailures, isBelowMoved, type Part, refuser, type RestoreWork, wantedOf } from "./work.ts";

/**
 * Has the tool write where nobody else can enter, and puts that in place without its help.
 * @param why it does not write to the place itself
 */
export async function extractAside(
  work: RestoreWork,
  part: Part,
  why = "others may change directories there",
): Promise<RunFailure | null> {
  const { tool, input, root, access, aside } = work;
  const { include, nodes, failed, moved, near } = part;
  const { snapshot, onProgress } = input;
  if (aside === null) throw new Error("there is no directory of the agent's own");
  const wanted = wantedOf(part);
  if (wanted.nodes.length === 0) return null;
  const stagePath = await withNear(near, (directory) => aside.stage({ directory, path: near }));
  checkSpace(stagePath, wanted.nodes);
  access.log.line(`${why}: writing to ${stagePath} first`);
  const done = await tool.extract({
    snapshot,
    include,
    overwrite: "always",
    all: nodes,
    nodes: wanted.isAll ? null : wanted.nodes,
    root: stagePath,
    setsFlags: false,
    isFresh: true,
    mayUseOwnOverwrite: true,
    onProgress,
  });
  addFailures(failed, done.failed);
  if (done.failure !== null) return done.failure;
  const stage = openDisk(stagePath, tool.replacementChar);
  try {
    const directories = wanted.nodes.filter(({ type }) => type === "dir");
    applyDirectoryAttributes(stage, { original: new Map(), restored: directories });
    stage.forget();
    if (!wanted.isAll) removeUnwanted(stage, { nodes, wanted: new Set(wanted.nodes) });
    const placed = await putInPlace({
      nodes: wanted.nodes,
      stage,
      disk: work.disk,
      root,
      aside,
      refuse: refuser(work),
      isFailed: (path) => failed.has(path),
      copy: (entry) => copyAcross(access, entry),
    });
    addFailures(failed, withoutPlaces(placed.failed));
    for (const path of placed.moved) moved.add(path);
    part.unflagged.push(...wanted.nodes.filter(({ flags }) => flags !== undefined));
    const merged = new Set(directories.map(({ path }) => path).filter((path) => !isBelowMoved(path, moved)));
    const extended = { stage, stagePath, disk: work.disk, standIn: tool.replacementChar, merged };
    const reason = await copyExtendedAttributes(access, extended);
    if (reason !== null) access.log.line(`directories that were there keep their ACLs and other attributes: ${reason}`);
  } finally {
    stage.forget();
  }
  return null;
}

/** A tool that can't be told every path has written more than was wanted. */
function removeUnwanted(
  stage: Disk,
  { nodes, wanted }: { nodes: readonly SnapshotNode[]; wanted: ReadonlySet<SnapshotNode> },
): void {
  for (const node of nodes) {
    if (node.type === "dir" || wanted.has(node)) continue;
    const directory = stage.directoryOf(node.path);
    if (directory === null) continue;
    for (const name of stage.namesOf(node.path))
      if (lstat(entryOf(directory, name)) !== null) removeTree(directory, name);
  }
  stage.forget();
}

async function withNear<T>(path: string, work: (directory: number) => Promise<T>): Promise<T> {
  const directory = openDirectory(path);
  try {
    return await work(directory);
  } finally {
    closeSync(directory);
  }
}

/** Everything is written before the first file is replaced. Throws RunError when there is no room for that. */
function checkSpace(directory: string, nodes: readonly SnapshotNode[]): void {
  const needed = nodes.reduce((sum, { type, size }) => sum + (type === "file" ? (size ?? 0) : 0), 0);
  const { bavail, bsize } = statfsSync(directory);
  if (needed <= bavail * bsize) return;
  throw runError(
    "restore.incomplete",
    `others may change directories there, so all of it is written aside first, and ${directory} has no room for ${needed} bytes; nothing was restored`,
    "Restore in parts, with include, or only what differs, with overwrite if-changed; or to a directory on another disk, with target.",
  );
}

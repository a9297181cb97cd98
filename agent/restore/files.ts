import type { Access, OpenRepository } from "../providers/provider.ts";
import type { RestoreInput, RestoreResult } from "./request.ts";
import { refuseCrafted } from "./crafted.ts";
import { withDisk } from "./disk.ts";
import { removeExtras } from "./extras.ts";
import { findProtectedPaths } from "./protected-paths.ts";
import { bytesOf, filesOf, buildRestoreResult } from "./result.ts";
import { makePlan, type Plan } from "./plan.ts";
import { isAtOrBelow, isSelected, type SnapshotContents, type SnapshotNode } from "../providers/contents.ts";
import { differingContents, verify } from "./verify.ts";
import type { RestoreWork } from "./work.ts";
import { withheldFrom, write } from "./write.ts";
import { runError } from "../run-error.ts";

/**
 * Restores bytes, owner, mode, times and links, and reports each file that failed. Built from what each engine can do:
 * list, read and write. Overwriting, deleting, dry run and verification are decided here, the same for every engine.
 */
export async function restoreFiles(
  repository: Pick<OpenRepository, "contents">,
  access: Access,
  input: RestoreInput,
): Promise<RestoreResult> {
  const tool = repository.contents();
  const root = input.target ?? "";
  const { nodes, above } = await listSelection(tool, input);
  const { include, excludes, snapshot } = input;
  if (!input.dryRun) await input.beforeWriting();
  const tops = include.length > 0 ? include : nodes.slice(0, 1).map(({ path }) => path);
  const protectedPaths = findProtectedPaths(access, {
    root,
    include: tops,
    excludes,
    named: input.named,
    isOwnTarget: input.aside === null,
  });
  const selected = { root, snapshot, include, nodes };
  const mayHide = input.dryRun && input.overwrite === "always";
  return await withDisk(root, tool.replacementChar, async (disk) => {
    const work: RestoreWork = {
      tool,
      access,
      input,
      root,
      disk,
      aside: input.aside,
      tops,
      nodes,
      above,
      protectedPaths,
    };
    const plan = await makePlan(disk, {
      nodes,
      overwrite: input.overwrite,
      isExact: input.dryRun,
      differing: mayHide ? await differingContents(tool, selected) : null,
    });
    if (input.dryRun) return await dryRunResult(work, plan);
    const written = await write(work, plan);
    const verification = input.verify && written.failure === null ? await verify(tool, selected) : null;
    access.signal.throwIfAborted();
    return buildRestoreResult(work, { plan, written, verification });
  });
}

/** A path the snapshot does not have is noticed before anything is written. @throws `restore.nothing_matched` */
async function listSelection(
  tool: SnapshotContents,
  { snapshot, include }: RestoreInput,
): Promise<{ nodes: SnapshotNode[]; above: SnapshotNode[] }> {
  const [nodes, above]: [SnapshotNode[], SnapshotNode[]] = [[], []];
  const unseen = new Set(include);
  await tool.list(snapshot, (node) => {
    if (!isSelected(node.path, { include })) {
      if (node.type === "dir" && include.some((path) => isAtOrBelow(path, node.path))) above.push(node);
      return;
    }
    nodes.push(node);
    for (const path of unseen) if (isAtOrBelow(node.path, path)) unseen.delete(path);
  });
  refuseCrafted(nodes);
  const [absent] = unseen;
  if (absent === undefined) return { nodes, above };
  throw runError(
    "restore.nothing_matched",
    `snapshot ${snapshot.slice(0, 8)} does not hold ${absent}; nothing was restored`,
  );
}

async function dryRunResult(work: RestoreWork, plan: Plan): Promise<RestoreResult> {
  const { root, disk, nodes, protectedPaths, input } = work;
  const extras = {
    nodes,
    isKept: protectedPaths.mustStay,
    isBeyond: protectedPaths.isOtherFilesystem,
    aside: null,
    root,
    dryRun: true,
  };
  const { removed } = input.delete ? await removeExtras(disk, extras) : { removed: [] };
  const withheld = withheldFrom(work, new Set([...plan.create, ...plan.update]));
  const isWritten = (node: SnapshotNode): boolean => !withheld.nodes.has(node);
  const [create, update] = [plan.create.filter(isWritten), plan.update.filter(isWritten)];
  return {
    warnings: [],
    failure: null,
    stats: {
      filesToCreate: filesOf(create).length,
      filesToUpdate: filesOf(update).length,
      filesToDelete: removed.length,
      bytesToRestore: bytesOf([...create, ...update]),
      filesSkipped: plan.skipped,
    },
    items: [
      ...withheld.failed.map(({ path, reason }) => ({ path, action: "failed" as const, reason })),
      ...create.map(({ path }) => ({ path, action: "create" as const })),
      ...update.map(({ path }) => ({ path, action: "update" as const })),
      ...removed.map((path) => ({ path, action: "delete" as const })),
    ],
  };
}

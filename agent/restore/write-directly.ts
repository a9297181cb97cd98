import type { RunFailure } from "../../shared/failure.ts";
import type { FailedPath, SnapshotNode } from "../providers/contents.ts";
import { removeObstacles } from "./obstacles.ts";
import { extractAside } from "./write-aside.ts";
import { addFailures, type Part, refuser, type RestoreWork, wantedOf } from "./work.ts";

/** Has the tool write to the place itself, over what is there. */
export async function extractDirectly(work: RestoreWork, part: Part): Promise<RunFailure | null> {
  const { tool, input, disk, root, access } = work;
  const { plan, planned, include, nodes, failed } = part;
  const { snapshot, overwrite, onProgress } = input;
  const updates = new Set(plan.update);
  for (let isAgain = false; ; isAgain = true) {
    const room = {
      nodes: isAgain ? planned : planned.filter((node) => updates.has(node)),
      root,
      singleNames: tool.needsSingleNames,
      refuse: refuser(work),
    };
    addFailures(failed, await removeObstacles(disk, room));
    const wanted = wantedOf(part);
    if (wanted.nodes.length === 0) return null;
    const which = { snapshot, include, overwrite, all: nodes, nodes: wanted.isAll ? null : wanted.nodes };
    const isFresh = !plan.update.some(({ type }) => type !== "dir");
    const mayUseOwnOverwrite = !plan.isBlocked && failed.size === 0;
    const done = await tool.extract({ ...which, root, setsFlags: true, isFresh, mayUseOwnOverwrite, onProgress });
    const busy = work.aside === null ? new Set<string>() : busyAmong(done.failed);
    addFailures(
      failed,
      done.failed.filter(({ path }) => !busy.has(path)),
    );
    if (done.failure !== null) return done.failure;
    const replaced = planned.filter(({ path }) => busy.has(path));
    if (replaced.length > 0) {
      const failure = await extractAside(work, { ...part, planned: replaced }, "programs that run are replaced");
      if (failure !== null) return failure;
    }
    const missing = missingOf(work, wanted.nodes, failed);
    if (missing.length === 0) return null;
    if (isAgain || failed.size > 0) {
      addFailures(failed, missing);
      return null;
    }
    // restic 0.14 deletes a hard link without creating it again; once every file has one name only, it does not.
    access.log.line(`${missing.length} entries are not there after the restore: restoring them again`);
  }
}

/** A running program can't be written to, but something else can take its place. */
function busyAmong(failed: readonly FailedPath[]): Set<string> {
  return new Set(failed.filter(({ reason }) => /text file busy/i.test(reason)).map(({ path }) => path));
}

function missingOf(
  { disk }: RestoreWork,
  wanted: readonly SnapshotNode[],
  failed: ReadonlyMap<string, string>,
): FailedPath[] {
  disk.forget();
  const missing = wanted.filter(({ path }) => !failed.has(path) && disk.stat(path) === null && !disk.isAmbiguous(path));
  return missing.map(({ path }) => ({ path, reason: "is not there after the restore" }));
}

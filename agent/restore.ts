import { join, relative } from "node:path";
import type { RestoreRequest } from "../shared/assignment.ts";
import type { Policy } from "./policy.ts";
import { checkRepository, checkRestore, checkSource, checkUser, isWithin, PolicyError } from "./policy-check.ts";
import { loadDatabase } from "./restore-database.ts";
import { chooseSnapshot } from "./restore-snapshot.ts";
import { readyTarget } from "./restore-target.ts";
import { prepare } from "./runner-access.ts";
import type { RunnerDeps, RunnerInput } from "./runner-deps.ts";
import type { Finished } from "./runner-record.ts";
import type { RecordedRun } from "./runner-recorded.ts";
import { realSource } from "./runner-sources.ts";

/**
 * The work of a restore's run. It takes no lock, so that it need not wait for a backup: it only reads the repository.
 * Throws RunError for an early end.
 */
export async function performRestore(
  deps: RunnerDeps,
  input: RunnerInput & { readonly restore: RestoreRequest; readonly stopServices: () => Promise<void> },
  run: RecordedRun,
): Promise<Finished> {
  const { assignment, binding, restore } = input;
  const { record, signal } = run;
  const prepared = await prepare(deps, {
    ...{ assignment, binding, signal, run: input.runId, log: record.log },
    onChild: (child) => record.noteChild("engine", child),
    as: "agent",
    mayGenerate: false,
    check(policy, contract, repository) {
      checkRestore(policy, restore);
      checkRepository(policy, repository);
      if (contract.kind === "databasebackup") checkUser(policy, contract.request.user);
    },
  });
  const { contract, policy } = prepared;
  if (contract.kind === "databasebackup" && restore.target === null) {
    return await loadDatabase(deps, { prepared, request: contract.request, binding, restore });
  }
  const sourceDirectories = contract.kind === "files" ? contract.request.sourceDirectories : [];
  const include =
    restore.target === null ? await includeInPlace({ sources: sourceDirectories, restore, policy }) : restore.include;
  if (restore.target !== null) await readyTarget(restore.target, restore, policy);
  const repository = await prepared.provider.open(prepared.access, { mayCreate: false });
  const snapshots = await repository.snapshots();
  const snapshot = chooseSnapshot(snapshots, { wanted: restore.snapshot, binding: binding.name });
  const place = restore.target ?? "where they were";
  record.log.line(`restoring ${include.length === 0 ? "everything" : include.join(", ")} of ${snapshot} to ${place}`);
  const { target } = restore;
  const { failure, warnings, stats, items } = await repository.restore({
    snapshot,
    target,
    include,
    overwrite: restore.overwrite,
    delete: restore.delete,
    dryRun: restore.dryRun,
    verify: restore.verify && target === null,
    excludes: contract.kind === "files" ? contract.request.excludePatterns : [],
    onProgress: run.onProgress,
    beforeWriting: input.stopServices,
  });
  return {
    state: failure !== null ? "failed" : warnings.length > 0 ? "warned" : "succeeded",
    ...{ failure, warnings, stats, items, snapshot, snapshots, engineId: repository.engineId },
  };
}

/**
 * In place only what the contract keeps may be written. A path is given as the contract has it, and looked for as the
 * snapshot has it: behind the symbolic links.
 */
async function includeInPlace({
  sources,
  restore,
  policy,
}: {
  sources: readonly string[];
  restore: RestoreRequest;
  policy: Policy;
}): Promise<string[]> {
  const places = await Promise.all(
    sources.map(async (source) => ({ source, path: (await realSource(source)) ?? source })),
  );
  for (const { source, path } of places) {
    checkSource(policy, source);
    checkSource(policy, path);
  }
  if (restore.include.length === 0) return [...new Set(places.map(({ path }) => path))];
  return restore.include.map((wanted) => {
    const exact = places.find(({ path }) => isWithin(wanted, path));
    if (exact !== undefined) return wanted;
    const named = places.find(({ source }) => isWithin(wanted, source));
    if (named !== undefined) return join(named.path, relative(named.source, wanted));
    throw new PolicyError(
      "policy.restore",
      `${wanted} is not inside the contract's source directories: it can be restored to a directory only, with a target`,
    );
  });
}

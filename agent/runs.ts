import type { AssignedBinding, Assignment, RestoreRequest } from "../shared/assignment.ts";
import { type Id, type Instant, instant, uuidv7 } from "../shared/ids.ts";
import { keepsEverything } from "../shared/retention.ts";
import { isGood, type SnapshotFacts } from "../shared/run.ts";
import { beginForgetGate } from "./state/forget-gate.ts";
import { recordGoodSnapshot } from "./state/good-snapshot.ts";
import { dropListings } from "./state/last-listing.ts";
import { recordMade } from "./state/made-snapshots.ts";
import { requireRemovable } from "./in-force/removal.ts";
import { noteAppendOnly } from "./policy/append-only.ts";
import { checkRepository } from "./policy/check.ts";
import { loadPolicy } from "./policy/policy.ts";
import { performRestore } from "./restore/restore.ts";
import { withServicesStopped } from "./restore/services.ts";
import { prepareAccess, type Prepared } from "./run/access.ts";
import { performBackup } from "./backup/backup.ts";
import { knownEngineIds } from "./providers/engine-ids.ts";
import type { RunOutcome, RunnerDeps, RunnerInput } from "./run/deps.ts";
import { failureOf } from "./run-error.ts";
import { deferIfLocked } from "./run/locked.ts";
import { openRunLog } from "./run-log.ts";
import { withPings } from "./run/pings.ts";
import type { RunResult } from "./run/record.ts";
import { bindingRun, recordRun } from "./run/record-run.ts";
import { type ForgetInput, isForgetDue, performForget } from "./upkeep/forget.ts";
import { forMaintenance } from "./upkeep/maintainer.ts";
import { repositoryRun, performUpkeep, type UpkeepInput } from "./upkeep/prune-check.ts";

/**
 * One backup, and after a successful one the binding's forget as a run of its own. Never throws for a failure of the
 * run: that is in the outcome, and in the spool before this returns.
 */
export async function backup(deps: RunnerDeps, input: RunnerInput): Promise<RunOutcome> {
  const { retention } = input.binding.settings;
  const at = instant(deps.clock.now());
  let blocked: string | null = null;
  let isDue = true;
  let isWhole = false;
  const outcome = await withPings(deps, input, (watch) =>
    recordRun(deps, bindingRun(input, "backup"), async (run) => {
      watch(run.record.log);
      const finished = await deferIfLocked(deps, input, () => performBackup(deps, input, run));
      const { snapshot, state } = finished;
      const recordWarnings =
        snapshot !== null && isGood(state) ? await recordGood(deps, input, { ...finished, snapshot, at }) : [];
      if (!keepsEverything(retention)) blocked = await removalBlockedReason(deps, input, finished.engineId);
      if (blocked !== null) run.record.log.line(`old snapshots are not removed: ${blocked}`);
      isWhole = recordWarnings.length === 0 && (state === "succeeded" || finished.isStoredWhole === true);
      if (state === "warned" && !isWhole && !keepsEverything(retention)) {
        run.record.log.line("old snapshots are not removed: only a backup without warnings lets the retention work");
      }
      if (isWhole && isGood(state) && !keepsEverything(retention) && blocked === null)
        isDue = await isForgetDue(deps, input, finished).catch(() => true);
      if (recordWarnings.length === 0) return finished;
      return { ...finished, state: "warned", warnings: [...finished.warnings, ...recordWarnings] };
    }),
  );
  if (isWhole && isGood(outcome.state) && !keepsEverything(retention) && blocked === null && isDue) {
    const runId = uuidv7(deps.clock.now() + (deps.clockOffset?.() ?? 0), deps.random(10));
    const { onStarted: _ofTheBackup, ...rest } = input;
    await forget(deps, { ...rest, runId, trigger: "retention", scheduledAt: null, dryRun: false });
  }
  return outcome;
}

/** Why this host removes nothing from the repository (append-only); null when it may. */
async function removalBlockedReason(
  deps: RunnerDeps,
  { assignment, binding }: RunnerInput,
  engineId: string | null,
): Promise<string | null> {
  const isIts = ({ id }: { id: Id }): boolean => id === binding.repository;
  const repository = assignment.repositories.find(isIts);
  if (repository === undefined) return null;
  const maintained = forMaintenance(assignment, repository).repositories.find(isIts) ?? repository;
  const known = { paths: deps.paths, policy: await loadPolicy(deps.paths), engineId };
  try {
    await noteAppendOnly({ ...known, repository });
    await requireRemovable(deps, { ...known, repository: maintained, binding: binding.name });
    return null;
  } catch (error) {
    return failureOf(error).message;
  }
}

/** A stored snapshot stays a backup, even if this host can't record it. @returns warnings */
async function recordGood(
  deps: RunnerDeps,
  { binding }: RunnerInput,
  { snapshot, at, stats, engineId }: Pick<RunResult, "stats" | "engineId"> & { snapshot: string; at: Instant },
): Promise<string[]> {
  try {
    await recordGoodSnapshot(deps.paths, { binding: binding.id, snapshot, at });
    await beginForgetGate(deps.paths, { binding: binding.id, retention: binding.settings.retention });
    if (engineId !== null) await recordMade(deps, { binding: binding.id, engineId, snapshot, stats });
    return [];
  } catch (error) {
    return [`the snapshot is not recorded as the newest good one: ${failureOf(error).message}`];
  }
}

/** Applies the binding's retention to its snapshots; a dry run only reports. Never throws for a failure of the run. */
export async function forget(deps: RunnerDeps, input: ForgetInput): Promise<RunOutcome> {
  return await recordRun(deps, bindingRun(input, "forget"), (run) => performForget(deps, input, run));
}

/** One prune or check of a repository as a whole. Never throws for a failure of the run. */
export async function runUpkeep(deps: RunnerDeps, input: UpkeepInput): Promise<RunOutcome> {
  return await recordRun(deps, repositoryRun(input), (run) => performUpkeep(deps, input, run));
}

/** One restore, in place or to a directory. Never throws for a failure of the run. */
export async function restore(
  deps: RunnerDeps,
  input: RunnerInput & { readonly restore: RestoreRequest; readonly keepReplaced?: boolean },
): Promise<RunOutcome> {
  return await recordRun(deps, bindingRun(input, "restore"), (run) =>
    withServicesStopped(deps, { input, run }, (stopServices) => performRestore(deps, { ...input, stopServices }, run)),
  );
}

interface BindingInput {
  readonly assignment: Assignment;
  readonly binding: AssignedBinding;
}

/** The binding's snapshots, oldest first. Throws RunError. */
export async function listSnapshots(deps: RunnerDeps, input: BindingInput): Promise<SnapshotFacts[]> {
  const { access, provider } = await prepareWithoutRun(deps, input);
  const repository = await provider.open(access, { mayCreate: false });
  return await repository.snapshots();
}

/**
 * Runs the engine itself on the binding's repository, in the agent's terminal.
 * @returns its exit code. Throws RunError when it can't be started
 */
export async function execEngine(
  deps: RunnerDeps,
  { args, ...asked }: BindingInput & { readonly args: readonly string[] },
): Promise<number> {
  const { access, provider } = await prepareWithoutRun(deps, asked);
  const exitCode = await provider.exec(access, args);
  // Whatever was done to it, the next run looks at it anew.
  for (const engineId of await knownEngineIds(deps.paths, access.repository)) await dropListings(deps.paths, engineId);
  return exitCode;
}

async function prepareWithoutRun(deps: RunnerDeps, { assignment, binding }: BindingInput): Promise<Prepared> {
  return await prepareAccess(deps, {
    assignment,
    binding,
    run: uuidv7(deps.clock.now(), deps.random(10)),
    log: openRunLog(deps.clock),
    signal: new AbortController().signal,
    onChild: async () => undefined,
    as: "contract",
    mayGenerate: false,
    check: (policy, _contract, repository) => checkRepository(policy, repository),
  });
}

import type { AssignedBinding, Assignment, RestoreRequest } from "../shared/assignment.ts";
import { instant, uuidv7 } from "../shared/ids.ts";
import { isKeepingAll } from "../shared/retention.ts";
import { isGood, type SnapshotFacts } from "../shared/run.ts";
import { rememberGood } from "./state/good-snapshot.ts";
import { checkRepository } from "./policy/check.ts";
import { performRestore } from "./restore/restore.ts";
import { betweenServices } from "./restore/services.ts";
import { prepare, type Prepared } from "./run/access.ts";
import { performBackup } from "./backup/backup.ts";
import type { Outcome, RunnerDeps, RunnerInput } from "./run/deps.ts";
import { failureOf } from "./run-error.ts";
import { unlessLocked } from "./run/locked.ts";
import { openRunLog } from "./run-log.ts";
import { pinged } from "./run/pings.ts";
import { ofBinding, recorded } from "./run/recorded.ts";
import { type ForgetInput, heldBack, performForget } from "./upkeep/forget.ts";
import { ofRepository, performUpkeep, type UpkeepInput } from "./upkeep/prune-check.ts";

/**
 * One backup, and after a good one the binding's retention as a run of its own. Never throws for what goes wrong in the
 * run: that is in the outcome, and in the spool before this returns.
 */
export async function backup(deps: RunnerDeps, input: RunnerInput): Promise<Outcome> {
  const { retention } = input.binding.settings;
  const at = instant(deps.clock.now());
  const outcome = await pinged(deps, input, (watch) =>
    recorded(deps, ofBinding(input, "backup"), async (run) => {
      watch(run.record.log);
      const finished = await unlessLocked(deps, input, () => performBackup(deps, input, run));
      const { snapshot, state } = finished;
      const forgotten =
        snapshot !== null && isGood(state) ? await remembered(deps, { binding: input.binding.id, snapshot, at }) : [];
      const reason = heldBack(input);
      if (reason !== null) run.record.log.line(`old snapshots are not removed: ${reason}`);
      if (state === "warned" && !isKeepingAll(retention)) {
        run.record.log.line("old snapshots are not removed: only a backup without warnings lets the retention work");
      }
      if (forgotten.length === 0) return finished;
      return { ...finished, state: "warned", warnings: [...finished.warnings, ...forgotten] };
    }),
  );
  if (outcome.state === "succeeded" && !isKeepingAll(retention) && heldBack(input) === null) {
    const runId = uuidv7(deps.clock.now() + (deps.clockOffset?.() ?? 0), deps.random(10));
    const { onBegun: _ofTheBackup, ...rest } = input;
    await forget(deps, { ...rest, runId, trigger: "retention", scheduledAt: null, dryRun: false });
  }
  return outcome;
}

/** What was stored is stored, also when this host can't remember it. @returns what is to be warned of */
async function remembered({ paths }: RunnerDeps, good: Parameters<typeof rememberGood>[1]): Promise<string[]> {
  return await rememberGood(paths, good).then(
    () => [],
    (error: unknown) => [`the snapshot is not remembered as the newest good one: ${failureOf(error).message}`],
  );
}

/** What the binding's retention says of its snapshots, done or only told. Never throws for what goes wrong in the run. */
export async function forget(deps: RunnerDeps, input: ForgetInput): Promise<Outcome> {
  return await recorded(deps, ofBinding(input, "forget"), (run) => performForget(deps, input, run));
}

/** One prune or check of a repository as a whole. Never throws for what goes wrong in the run. */
export async function upkeep(deps: RunnerDeps, input: UpkeepInput): Promise<Outcome> {
  return await recorded(deps, ofRepository(input), (run) => performUpkeep(deps, input, run));
}

/** One restore, in place or to a directory. Like a backup, it never throws for what goes wrong in the run. */
export async function restore(
  deps: RunnerDeps,
  input: RunnerInput & { readonly restore: RestoreRequest },
): Promise<Outcome> {
  return await recorded(deps, ofBinding(input, "restore"), (run) =>
    betweenServices(deps, { input, run }, (stopServices) => performRestore(deps, { ...input, stopServices }, run)),
  );
}

interface Asked {
  readonly assignment: Assignment;
  readonly binding: AssignedBinding;
}

/** The binding's snapshots, oldest first. Throws RunError. */
export async function listSnapshots(deps: RunnerDeps, asked: Asked): Promise<SnapshotFacts[]> {
  const { access, provider } = await prepareUnrecorded(deps, asked);
  const repository = await provider.open(access, { mayCreate: false });
  return await repository.snapshots();
}

/**
 * Runs the engine itself on the binding's repository, in the agent's terminal.
 * @returns its exit code. Throws RunError when it can't be started
 */
export async function execEngine(
  deps: RunnerDeps,
  { args, ...asked }: Asked & { readonly args: readonly string[] },
): Promise<number> {
  const { access, provider } = await prepareUnrecorded(deps, asked);
  return await provider.exec(access, args);
}

async function prepareUnrecorded(deps: RunnerDeps, { assignment, binding }: Asked): Promise<Prepared> {
  return await prepare(deps, {
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

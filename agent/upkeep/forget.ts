import { CLOCK_WRONG_MS } from "../../shared/clock-skew.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { PlannedSnapshot, SnapshotFacts } from "../../shared/run.ts";
import { keepsEverything, planRetention } from "../../shared/retention.ts";
import { hostZone } from "../system/zone.ts";
import { readNewestGood } from "../state/good-snapshot.ts";
import { acquireLock } from "../state/locks.ts";
import { checkBackup, checkRepository } from "../policy/check.ts";
import { prepareAccess } from "../run/access.ts";
import { clockSkewFault } from "../run/clock-skew.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import { runError } from "../run-error.ts";
import type { RunResult } from "../run/record.ts";
import type { RunContext } from "../run/record-run.ts";

export interface ForgetInput extends RunnerInput {
  /** Only report what would be removed, and which rule keeps each other snapshot. */
  readonly dryRun: boolean;
}

/** Why forget is not run on this host (append-only); null when it is. */
export function forgetBlockedReason({
  assignment,
  binding,
}: Pick<RunnerInput, "assignment" | "binding">): string | null {
  const repository = assignment.repositories.find(({ id }) => id === binding.repository);
  if (repository?.appendOnly !== true || keepsEverything(binding.settings.retention)) return null;
  return `repository "${repository.name}" is append-only for this host: whoever may write it removes old snapshots`;
}

/** The work of a forget run. Throws RunError for an early end. */
export async function performForget(deps: RunnerDeps, input: ForgetInput, run: RunContext): Promise<RunResult> {
  const { assignment, binding, dryRun } = input;
  const { record, signal } = run;
  const reason = forgetBlockedReason(input);
  if (reason !== null && !dryRun) throw runError("repository.append_only", reason);
  const { access, provider } = await prepareAccess(deps, {
    assignment,
    binding,
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.recordChild("engine", child),
    as: "contract",
    mayGenerate: false,
    check: (policy, contract, repository) =>
      dryRun ? checkRepository(policy, repository) : checkBackup(policy, { contract, repository }),
  });
  const lock = dryRun
    ? null
    : await run.whileWaiting(
        acquireLock(deps.paths, {
          name: access.repository.id,
          signal,
          onWait: () => record.log.line("another run works on the repository: waiting for it"),
        }),
      );
  try {
    const repository = await provider.open(access, { mayCreate: false });
    const { engineId } = repository;
    const before = await repository.snapshots();
    const plan = await planForget(deps, { binding, snapshots: before });
    const warnings = warningsOf(deps, plan);
    for (const warning of warnings) record.log.line(warning);
    for (const line of linesOf(plan)) record.log.line(line);
    if (dryRun) {
      record.log.line("this was a dry run: nothing was removed");
      return { ...forgetRunResult({ snapshots: before, removed: 0, failure: null }, warnings), plan, engineId };
    }
    const toRemove =
      clockSkewFault(deps) !== null ? [] : plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot);
    return { ...forgetRunResult(await repository.forget(toRemove), warnings), plan, engineId };
  } finally {
    await lock?.release();
  }
}

async function planForget(
  deps: RunnerDeps,
  { binding, snapshots }: Pick<RunnerInput, "binding"> & { snapshots: SnapshotFacts[] },
): Promise<PlannedSnapshot[]> {
  const { retention, zone } = binding.settings;
  const good = await readNewestGood(deps.paths, binding.id);
  return planRetention({
    snapshots,
    retention,
    newestGood: good?.snapshot ?? null,
    zone: zone ?? hostZone(),
    now: deps.clock.now(),
  });
}

function warningsOf(deps: RunnerDeps, plan: readonly PlannedSnapshot[]): string[] {
  const fault = clockSkewFault(deps);
  const warnings = fault === null ? [] : [fault];
  const future = plan.filter(({ takenAt }) => Date.parse(takenAt) > deps.clock.now() + CLOCK_WRONG_MS).length;
  if (future > 0) {
    warnings.push(`${future} snapshots are dated in the future: they are kept, and no rule counts them`);
  }
  return warnings;
}

function linesOf(plan: readonly PlannedSnapshot[]): string[] {
  return plan.map(({ snapshot, takenAt, keep, reasons }) =>
    keep
      ? `keep ${snapshot.slice(0, 8)} of ${takenAt}: ${reasons.join(", ")}`
      : `remove ${snapshot.slice(0, 8)} of ${takenAt}`,
  );
}

/** A lock held by another program is no failure: the next backup's forget removes what this one did not. */
function forgetRunResult(
  { snapshots, removed, failure }: { snapshots: SnapshotFacts[]; removed: number; failure: RunFailure | null },
  warnings: string[],
): Omit<RunResult, "engineId"> {
  const isDeferred = failure?.code === "run.cancelled" || failure?.code === "repository.locked";
  return {
    state: failure !== null ? (isDeferred ? "cancelled" : "failed") : warnings.length > 0 ? "warned" : "succeeded",
    failure,
    snapshots,
    snapshot: null,
    warnings,
    stats: { snapshotsRemoved: removed, snapshotsKept: snapshots.length },
  };
}

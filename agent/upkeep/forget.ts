import { CLOCK_WRONG_MS } from "../../shared/clock-skew.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { PlannedSnapshot, SnapshotFacts } from "../../shared/run.ts";
import type { Id } from "../../shared/ids.ts";
import { planRetention, retentionFault } from "../../shared/retention.ts";
import { randomizedDelayMs } from "../../shared/schedule.ts";
import { hostZone } from "../system/zone.ts";
import { type ForgetGate, readForgetGate, writeForgetGate } from "../state/forget-gate.ts";
import { readNewestGood } from "../state/good-snapshot.ts";
import { peekListing } from "../state/last-listing.ts";
import { addSeen, completeMade, type MadeSnapshots, readMade, writeMade } from "../state/made-snapshots.ts";
import { acquireLock } from "../state/locks.ts";
import { requireRemovable } from "../in-force/removal.ts";
import { noteAppendOnly } from "../policy/append-only.ts";
import { checkBackup, checkRepository } from "../policy/check.ts";
import { loadPolicy, type Policy } from "../policy/policy.ts";
import { grantedKeys } from "../policy/grants.ts";
import { askRoot } from "../policy/waiting.ts";
import { prepareAccess } from "../run/access.ts";
import { clockSkewFault } from "../run/clock-skew.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import { runError } from "../run-error.ts";
import type { ListedSnapshot } from "../providers/provider.ts";
import type { RunResult } from "../run/record.ts";
import type { RunContext } from "../run/record-run.ts";
import { holdBack } from "./gate.ts";
import { forMaintenance } from "./maintainer.ts";
import { planForget } from "./plan.ts";

export interface ForgetInput extends RunnerInput {
  /** Only report what would be removed, and which rule keeps each other snapshot. */
  readonly dryRun: boolean;
  /** Root has said at the host's terminal that only the retention counts: neither the floor nor the gate. */
  readonly belowFloor?: boolean;
  /** Another host's binding, whose repository this host maintains. */
  readonly isForeign?: boolean;
}

/** The work of a forget run. Throws RunError for an early end. */
export async function performForget(deps: RunnerDeps, input: ForgetInput, run: RunContext): Promise<RunResult> {
  const { binding, dryRun, isForeign = false } = input;
  const assignment = forMaintenance(input.assignment, { id: binding.repository });
  const { record, signal } = run;
  const { access, policy, provider } = await prepareAccess(deps, {
    assignment,
    binding,
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.recordChild("engine", child),
    as: "contract",
    mayGenerate: false,
    check: (policy, contract, repository) =>
      dryRun || isForeign ? checkRepository(policy, repository) : checkBackup(policy, { contract, repository }),
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
    const fault = retentionFault(access.repository.provider, binding.settings.retention);
    if (fault !== null) throw runError("engine.refused", `keep_tag: ${fault}`);
    // A preview leaves what is known to the next run.
    const repository = await provider.open(access, { mayCreate: false, recall: dryRun ? "none" : "assumed" });
    const { engineId } = repository;
    const place = { paths: deps.paths, policy, repository: access.repository, engineId };
    await noteAppendOnly(place);
    if (!dryRun) await requireRemovable(deps, { ...place, binding: binding.name });
    const before = await repository.snapshots();
    const planned = await planRun(deps, { input, policy, engineId, snapshots: before });
    const { plan } = planned;
    const warnings = [...warningsOf(deps, plan), ...planned.warnings];
    for (const warning of warnings) record.log.line(warning);
    for (const line of linesOf(plan)) record.log.line(line);
    if (dryRun) {
      record.log.line("this was a dry run: nothing was removed");
      return { ...forgetRunResult({ snapshots: before, removed: 0, failure: null }, warnings), plan, engineId };
    }
    const isClockWrong = clockSkewFault(deps) !== null;
    if (isClockWrong)
      return { ...forgetRunResult({ snapshots: before, removed: 0, failure: null }, warnings), plan, engineId };
    const toRemove = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot);
    // Before anything goes: what is removed was planned with it.
    await planned.remember();
    return { ...forgetRunResult(await repository.forget(toRemove), warnings), plan, engineId };
  } finally {
    await lock?.release();
  }
}

/**
 * Whether the retention has something to do after a backup, by what is known of the binding's snapshots. Removals are
 * gathered: at most one run a day, so that the others need not ask the repository.
 */
export async function isForgetDue(
  deps: RunnerDeps,
  input: RunnerInput,
  { engineId, snapshots }: { engineId: string | null; snapshots: SnapshotFacts[] | null },
): Promise<boolean> {
  const { binding } = input;
  if (engineId === null || snapshots === null) return true;
  const listing = await peekListing(deps.paths, { binding: binding.id, engineId });
  const forgotAt = listing?.forgotAt ?? null;
  if (forgotAt !== null && isSameDay(binding.id, Date.parse(forgotAt), deps.clock.now())) return false;
  const policy = await loadPolicy(deps.paths);
  const { plan, warnings } = await planRun(deps, { input: { ...input, dryRun: true }, policy, engineId, snapshots });
  return warnings.length > 0 || plan.some(({ keep }) => !keep);
}

/** Each binding's days begin at another time, so that not all of a repository's hosts remove at once. */
function isSameDay(binding: Id, one: number, other: number): boolean {
  const dayOf = (at: number): number => Math.floor((at - randomizedDelayMs(binding, DAY_MS)) / DAY_MS);
  return dayOf(one) === dayOf(other);
}

const DAY_MS = 86_400_000;

interface PlannedRun {
  readonly plan: PlannedSnapshot[];
  readonly warnings: readonly string[];
  /** Stores what this host knows of the snapshots, and what waits for root. */
  remember(): Promise<void>;
}

async function planRun(
  deps: RunnerDeps,
  {
    input: { binding, belowFloor = false, isForeign = false },
    policy,
    engineId,
    snapshots,
  }: { input: ForgetInput; policy: Policy; engineId: string; snapshots: ListedSnapshot[] },
): Promise<PlannedRun> {
  const { paths, clock } = deps;
  const now = clock.now();
  const { retention } = binding.settings;
  const subject = { binding: binding.id, engineId };
  const good = await readNewestGood(paths, binding.id);
  const stored = await readMade(paths, subject);
  const own = completeMade(stored, snapshots, now);
  const made = isForeign ? addSeen(deps, own, snapshots) : own;
  const gate = (await readForgetGate(paths, binding.id)) ?? { retention, most: [], waiting: null };
  const zone = binding.settings.zone ?? hostZone();
  const by = { snapshots, retention, zone, now, newestGood: good?.snapshot ?? null };
  const remember = async (changed: ForgetGate, plan: readonly PlannedSnapshot[]): Promise<void> => {
    await writeForgetGate(paths, binding.id, changed);
    await writeMade(paths, subject, without(made, plan));
  };
  if (belowFloor) {
    const plan = planRetention(by);
    return { plan, warnings: [], remember: () => remember({ retention, most: [], waiting: null }, plan) };
  }
  if (stored.wasDamaged) {
    const plan = snapshots.map(({ id, takenAt }) => ({ snapshot: id, takenAt, keep: true, reasons: [FORGOTTEN] }));
    return { plan, warnings: [FORGOTTEN_WARNING], remember: () => remember(gate, plan) };
  }
  const { level, keep } = policy;
  const full = planForget({ ...by, level, keep, made: made.snapshots, hostZone: hostZone() });
  const granted = await grantedKeys(paths);
  const subjectOf = { binding: binding.id, name: binding.name, level, granted };
  const known = { ...subjectOf, snapshots, made: made.snapshots, retention, gate, now };
  const held = holdBack({ ...known, plan: full });
  const rememberHeld = async (): Promise<void> => {
    await remember(held.gate, held.plan);
    await askRoot(deps, held.ask === null ? [] : [held.ask], { bindings: [binding.name] });
  };
  return { plan: [...held.plan], warnings: held.warnings, remember: rememberHeld };
}

const FORGOTTEN = "this host's record of them was damaged";
const FORGOTTEN_WARNING =
  "this host's record of the good snapshots it made was damaged: nothing is removed this time, and it is begun anew from what the repository lists";

function without(made: MadeSnapshots, plan: readonly PlannedSnapshot[]): MadeSnapshots {
  const going = new Set(plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot));
  return { ...made, snapshots: made.snapshots.filter(({ id }) => !going.has(id)) };
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

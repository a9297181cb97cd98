import type { AssignedRepository } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import { instant } from "../../shared/ids.ts";
import { acquireLock } from "../state/locks.ts";
import { requireRemovable } from "../in-force/removal.ts";
import { noteAppendOnly } from "../policy/append-only.ts";
import { checkRepository } from "../policy/check.ts";
import type { OpenRepository, UpkeepResult } from "../providers/provider.ts";
import { readTimeLimit, prepareAccess } from "../run/access.ts";
import { clockSkewFault } from "../run/clock-skew.ts";
import type { RunnerDeps, RunStart } from "../run/deps.ts";
import { runError } from "../run-error.ts";
import { forMaintenance, oldestBindingOf } from "./maintainer.ts";
import type { RunResult } from "../run/record.ts";
import type { RunSpec, RunContext } from "../run/record-run.ts";
import { nextDeferral } from "../state/deferral.ts";
import { changeUpkeep, readUpkeep, type UpkeepKind, type UpkeepState } from "../state/upkeep-state.ts";

export interface UpkeepInput extends RunStart {
  readonly kind: UpkeepKind;
  readonly repository: AssignedRepository;
}

/**
 * A run on a repository as a whole, with the user and settings of one of its bindings: that user owns the repository's
 * files.
 */
export function repositoryRun(input: UpkeepInput): RunSpec {
  const { repository } = input;
  return {
    ...input,
    binding: null,
    repository: repository.id,
    name: repository.name,
    limitMs: () => readTimeLimit(oldestBindingOf(input).settings, "runTimeLimit"),
  };
}

/** Prunes or checks a repository. Throws RunError for an early end. */
export async function performUpkeep(deps: RunnerDeps, input: UpkeepInput, run: RunContext): Promise<RunResult> {
  const { kind, repository } = input;
  const { record, signal } = run;
  const assignment = forMaintenance(input.assignment, repository);
  const state = await readUpkeep(deps.paths, repository.id);
  if (kind === "prune")
    assertMayPrune(assignment.repositories.find(({ id }) => id === repository.id) ?? repository, state);
  const { access, policy, provider } = await prepareAccess(deps, {
    assignment,
    binding: oldestBindingOf(input),
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.recordChild("engine", child),
    as: "contract",
    mayGenerate: false,
    check: (policy, _contract, place) => checkRepository(policy, place),
  });
  const lock = await run.whileWaiting(
    acquireLock(deps.paths, {
      name: repository.id,
      signal,
      onWait: () => record.log.line("another run works on the repository: waiting for it"),
    }),
  );
  try {
    const opened = await provider.open(access, { mayCreate: false });
    const place = { paths: deps.paths, policy, repository: access.repository, engineId: opened.engineId };
    await noteAppendOnly(place);
    if (kind === "prune") await requireRemovable(deps, { ...place, binding: oldestBindingOf(input).name });
    const fault = kind === "prune" ? clockSkewFault(deps) : null;
    if (fault !== null) record.log.line(fault);
    const result =
      fault !== null
        ? { failure: null, warnings: [fault], stats: {} }
        : kind === "prune"
          ? await opened.prune()
          : await checkPart(deps, { input, run, opened, state });
    return await finishUpkeep(deps, { input, state, result, engineId: opened.engineId });
  } finally {
    await lock.release();
  }
}

function assertMayPrune(repository: AssignedRepository, { damagedSince, isForgotten }: UpkeepState): void {
  if (repository.appendOnly) {
    throw runError("repository.append_only", `repository "${repository.name}" is append-only for this host`);
  }
  if (isForgotten) {
    throw runError(
      "host.failed",
      `this host's record of its checks of repository "${repository.name}" was damaged: it is not pruned until a check finds no damage`,
      "Check the host's disk, and run a check of the repository.",
    );
  }
  if (damagedSince === null) return;
  throw runError(
    "repository.damaged",
    `repository "${repository.name}" is not pruned: since ${damagedSince} its check finds damage, and pruning could make it worse`,
  );
}

interface CheckInput {
  readonly input: UpkeepInput;
  readonly run: RunContext;
  readonly opened: OpenRepository;
  readonly state: UpkeepState;
}

/** A part with damage is checked again until it is clean; only then the repository counts as undamaged. */
async function checkPart(deps: RunnerDeps, { input, run, opened, state }: CheckInput): Promise<UpkeepResult> {
  const { id, maintenance } = input.repository;
  const parts = maintenance.readDataParts;
  const part = Math.min(state.nextPart, parts);
  run.record.log.line(`checking the structure, and part ${part} of ${parts} of the data`);
  const result = await opened.check({ part, parts });
  const { failure } = result;
  const known = { isForgotten: false };
  if (failure === null)
    await changeUpkeep(deps.paths, id, { ...known, nextPart: (part % parts) + 1, damagedSince: null });
  else if (failure.code === "repository.damaged") {
    await changeUpkeep(deps.paths, id, { ...known, damagedSince: state.damagedSince ?? instant(deps.clock.now()) });
  }
  return result;
}

interface UpkeepEnd {
  readonly input: UpkeepInput;
  readonly state: UpkeepState;
  readonly result: UpkeepResult;
  readonly engineId: string;
}

async function finishUpkeep(deps: RunnerDeps, { input, state, result, engineId }: UpkeepEnd): Promise<RunResult> {
  const { failure, warnings, stats } = result;
  const isDeferred = failure?.code === "repository.locked" && (await deferUpkeep(deps, { input, state }));
  if (!isDeferred) await changeUpkeep(deps.paths, input.repository.id, { [input.kind]: null });
  return {
    state: stateOf(failure, { isDeferred, isWarned: warnings.length > 0 }),
    failure,
    warnings,
    stats,
    engineId,
    snapshot: null,
    snapshots: null,
  };
}

function stateOf(failure: RunFailure | null, { isDeferred, isWarned }: { isDeferred: boolean; isWarned: boolean }) {
  if (failure === null) return isWarned ? "warned" : "succeeded";
  return isDeferred || failure.code === "run.cancelled" ? "cancelled" : "failed";
}

/** A lock held by another program is no failure for a day: the run is deferred, each time a little longer. */
async function deferUpkeep(
  { paths, clock }: RunnerDeps,
  { input, state }: Pick<UpkeepEnd, "input" | "state">,
): Promise<boolean> {
  const { kind, repository, trigger } = input;
  if (trigger !== "schedule" && trigger !== "catch-up") return true;
  const next = nextDeferral(state[kind], clock.now());
  if (next !== null) await changeUpkeep(paths, repository.id, { [kind]: next });
  return next !== null;
}

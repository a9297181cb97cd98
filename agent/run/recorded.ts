import type { RunFailure } from "../../shared/failure.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import type { Progress, RunKind } from "../../shared/run.ts";
import { PolicyError } from "../policy/check.ts";
import { limitOf } from "./access.ts";
import type { Outcome, RunnerDeps, RunnerInput, RunStart } from "./deps.ts";
import { failureOf, RunError } from "../run-error.ts";
import { beginRecord, type Finished, type RecordInput, type RunRecord } from "./record.ts";
import { whoseDisk } from "./full-disk.ts";
import { startPulse } from "./pulse.ts";
import { untilStopped } from "./stop.ts";
import type { Spool } from "../state/spool.ts";

export interface RecordedRun {
  readonly record: RunRecord;
  /** Stops the run: cancelled, or out of time. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Around whatever waits for another run: the time it takes is not this one's to answer for. */
  readonly waiting: <T>(wait: Promise<T>) => Promise<T>;
}

/** A run, and what of. */
export interface Recordable extends RunStart, RecordInput {
  /** What people call that. */
  readonly name: string;
  /** How long it may take. Throws RunError when the settings can't be read. */
  readonly limitMs: () => number;
}

/** A run of one binding. */
export function ofBinding(input: RunnerInput, kind: RunKind): Recordable {
  const { binding } = input;
  return {
    ...input,
    kind,
    binding: binding.id,
    repository: binding.repository,
    name: binding.name,
    limitMs: () => limitOf(binding.settings, "runTimeLimit"),
  };
}

/** What a run knows when it goes wrong early. */
export const NOTHING: Omit<Finished, "state"> = {
  failure: null,
  snapshot: null,
  warnings: [],
  stats: null,
  engineId: null,
  snapshots: null,
};

const PROGRESS_EVERY_MS = 1000;

/**
 * Does the work of one run between its first and its last line in the spool. Whatever is thrown becomes the run's failure.
 */
export async function recorded(
  deps: RunnerDeps,
  input: Recordable,
  work: (run: RecordedRun) => Promise<Finished>,
): Promise<Outcome> {
  const { runId, kind } = input;
  const name = `${kind} of "${input.name}" (${runId})`;
  let finished: Finished;
  try {
    const begun = await beginRecord(deps, input);
    deps.log(`${name} begins`);
    await input.onBegun?.().catch((error: unknown) => deps.log(`${name}: ${failureOf(error).message}`));
    const pulse = startPulse(deps.clock, (progress) => deps.onProgress(runId, progress), deps.pulseEveryMs);
    const noteChild: RunRecord["noteChild"] = (is, child) => {
      pulse.child(child);
      return begun.noteChild(is, child);
    };
    const record = { ...begun, noteChild };
    try {
      finished = await ended(deps, { input, record }, (stopped) =>
        work({ record, signal: stopped, onProgress: throttled(pulse.progress), waiting: pulse.during }),
      );
    } finally {
      pulse.stop();
    }
    await record.finish(finished);
  } catch (error) {
    // The spool itself can't be written: nothing was begun, or its end can't be told before the next start.
    finished = { ...NOTHING, state: "failed", failure: failureOf(error) };
  }
  const { state, failure, snapshot, warnings, stats, items = null, plan = null } = finished;
  deps.log(`${name} ${state}${failure === null ? "" : `: ${failure.code}: ${failure.message}`}`);
  return { runId, state, failure, snapshot, warnings, stats, items, plan };
}

async function ended(
  deps: RunnerDeps,
  { input, record }: { input: Recordable; record: RunRecord },
  work: (stopped: AbortSignal) => Promise<Finished>,
): Promise<Finished> {
  try {
    const limitMs = input.limitMs();
    const finished = await untilStopped({ signal: input.signal, limitMs }, work);
    const failure = finished.failure === null ? null : await whoseDisk(finished.failure, placesOf(deps, input));
    return { ...finished, failure: failure === null ? null : noted(record, failure) };
  } catch (error) {
    const failure = noted(record, await whoseDisk(failureOf(error), placesOf(deps, input)));
    const warnings = error instanceof RunError ? error.warnings : [];
    if (error instanceof PolicyError) await reportRefusal(deps, { input, error });
    return { ...NOTHING, failure, warnings, state: failure.code === "run.cancelled" ? "cancelled" : "failed" };
  }
}

function placesOf({ paths }: RunnerDeps, { assignment, repository }: Recordable): Parameters<typeof whoseDisk>[1] {
  return { paths, repository: assignment.repositories.find(({ id }) => id === repository) };
}

/** A failure as it may be shown, written to the run's log. */
function noted({ log }: RunRecord, failure: RunFailure): RunFailure {
  log.line(`${failure.code}: ${failure.message}`);
  return { ...failure, message: log.redact(failure.message) };
}

/** What was refused in this process's life; a schedule asks for the same thing again and again. */
const said = new WeakMap<Spool, Set<string>>();

async function reportRefusal(
  { spool, clock, random }: RunnerDeps,
  { input, error }: { input: Recordable; error: PolicyError },
): Promise<void> {
  const { message } = error.failure;
  const before = said.get(spool) ?? new Set();
  said.set(spool, before);
  const key = [input.binding ?? input.repository, input.assignment.revision, error.refusal, message].join(" ");
  if (before.has(key)) return;
  before.add(key);
  const at = clock.now();
  await spool.addRefusal({
    type: "refusal",
    id: uuidv7(at, random(10)),
    at: instant(at),
    code: error.refusal,
    subject: input.name,
    message,
  });
}

function throttled(tell: (progress: Progress) => void): (progress: Progress) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (progress) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    tell(progress);
  };
}

import type { RunFailure } from "../../shared/failure.ts";
import { instant, type Instant } from "../../shared/ids.ts";
import type { Progress, RunKind } from "../../shared/run.ts";
import { createRefusalReporter } from "../link/refusals.ts";
import { PolicyError } from "../policy/check.ts";
import { readTimeLimit } from "./access.ts";
import type { RunOutcome, RunnerDeps, RunnerInput, RunStart } from "./deps.ts";
import { failureOf, RunError } from "../run-error.ts";
import { startRecord, type RunResult, type RecordInput, type RunRecord } from "./record.ts";
import { attributeFullDisk } from "./full-disk.ts";
import { startActivityMonitor } from "./activity.ts";
import { withStopSignal } from "./stop.ts";
import { scheduledSubject, writeLastRun } from "../state/last-run.ts";
import type { Spool } from "../state/spool.ts";

export interface RunContext {
  readonly record: RunRecord;
  /** Aborted when the run is cancelled or out of time. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Wraps waiting for another run, so that it does not count as inactivity. */
  readonly whileWaiting: <T>(wait: Promise<T>) => Promise<T>;
}

/** What to run, and on what. */
export interface RunSpec extends RunStart, RecordInput {
  /** Name of the binding or repository, for logs. */
  readonly name: string;
  /** The time limit in ms. Throws RunError when the settings can't be read. */
  readonly limitMs: () => number;
}

/** A run of one binding. */
export function bindingRun(input: RunnerInput, kind: RunKind): RunSpec {
  const { binding } = input;
  return {
    ...input,
    kind,
    binding: binding.id,
    repository: binding.repository,
    name: binding.name,
    limitMs: () => readTimeLimit(binding.settings, "runTimeLimit"),
  };
}

/** The result of a run that failed early. */
export const EMPTY_RESULT: Omit<RunResult, "state"> = {
  failure: null,
  snapshot: null,
  warnings: [],
  stats: null,
  engineId: null,
  snapshots: null,
};

/** Runs `work` between the first and the last spool write of a run. Anything thrown becomes the run's failure. */
export async function recordRun(
  deps: RunnerDeps,
  input: RunSpec,
  work: (run: RunContext) => Promise<RunResult>,
): Promise<RunOutcome> {
  const { runId, kind } = input;
  const name = `${kind} of "${input.name}" (${runId})`;
  let finished: RunResult;
  try {
    const started = await startRecord(deps, input);
    deps.log(`${name} begins`);
    await noteLastRun(deps, input, { startedAt: started.startedAt, endedAt: null });
    await input.onStarted?.().catch((error: unknown) => deps.log(`${name}: ${failureOf(error).message}`));
    const activity = startActivityMonitor(
      deps.clock,
      (progress) => deps.onProgress(runId, progress),
      deps.activityEveryMs,
    );
    const recordChild: RunRecord["recordChild"] = async (is, child) => {
      activity.addProcess(child);
      await Promise.all([started.recordChild(is, child), input.unit?.adopt(child)]);
    };
    const record = { ...started, recordChild };
    try {
      finished = await runToEnd(deps, { input, record }, (stopped) =>
        work({
          record,
          signal: stopped,
          onProgress: activity.progress,
          whileWaiting: activity.whileWaiting,
        }),
      );
    } finally {
      activity.stop();
    }
    await record.finish(finished);
    await noteLastRun(deps, input, { startedAt: started.startedAt, endedAt: instant(deps.clock.now()) });
  } catch (error) {
    // The spool can't be written: nothing was started, or the result is reported after the next start.
    finished = { ...EMPTY_RESULT, state: "failed", failure: failureOf(error) };
  }
  const { state, failure, snapshot, warnings, stats, items = null, plan = null } = finished;
  deps.log(`${name} ${state}${failure === null ? "" : `: ${failure.code}: ${failure.message}`}`);
  return { runId, state, failure, snapshot, warnings, stats, items, plan };
}

/** Spans of a schedule count from it. Without it they count from the run before: no reason not to run. */
async function noteLastRun(
  { paths, log }: RunnerDeps,
  { kind, binding, repository }: RunSpec,
  { startedAt, endedAt }: { startedAt: Instant | null; endedAt: Instant | null },
): Promise<void> {
  const subject = scheduledSubject(kind, { binding, repository });
  if (subject === null || startedAt === null) return;
  await writeLastRun(paths, subject, { startedAt, endedAt }).catch((error: unknown) => log(failureOf(error).message));
}

async function runToEnd(
  deps: RunnerDeps,
  { input, record }: { input: RunSpec; record: RunRecord },
  work: (stopped: AbortSignal) => Promise<RunResult>,
): Promise<RunResult> {
  try {
    const limitMs = input.limitMs();
    const finished = await withStopSignal({ signal: input.signal, limitMs }, work);
    const failure = finished.failure === null ? null : await explainFailure(deps, input, finished.failure);
    return { ...finished, failure: failure === null ? null : logFailure(record, failure) };
  } catch (error) {
    const failure = logFailure(record, await explainFailure(deps, input, failureOf(error)));
    const warnings = error instanceof RunError ? error.warnings : [];
    if (error instanceof PolicyError) await reportRefusal(deps, { input, error });
    return { ...EMPTY_RESULT, failure, warnings, state: failure.code === "run.cancelled" ? "cancelled" : "failed" };
  }
}

/** What the tool could not know about why it failed. */
async function explainFailure(
  { paths }: RunnerDeps,
  { assignment, repository: id, unit }: RunSpec,
  failure: RunFailure,
): Promise<RunFailure> {
  const repository = assignment.repositories.find((one) => one.id === id);
  const explained = await attributeFullDisk(failure, { paths, repository });
  return unit === undefined ? explained : await unit.explain(explained);
}

/** A failure with secrets redacted. Also written to the run's log. */
function logFailure({ log }: RunRecord, failure: RunFailure): RunFailure {
  log.line(`${failure.code}: ${failure.message}`);
  return { ...failure, message: log.redact(failure.message) };
}

/** One per spool, for the life of the process: a schedule would repeat the same refusal. */
const refusalReporters = new WeakMap<Spool, ReturnType<typeof createRefusalReporter>>();

async function reportRefusal(
  deps: RunnerDeps,
  { input, error }: { input: RunSpec; error: PolicyError },
): Promise<void> {
  const { message } = error.failure;
  const code = error.refusalCode;
  const report = refusalReporters.get(deps.spool) ?? createRefusalReporter(deps, Number.POSITIVE_INFINITY);
  refusalReporters.set(deps.spool, report);
  const key = [input.binding ?? input.repository, input.assignment.revision, code, message].join(" ");
  await report(key, { code, subject: input.name, message });
}

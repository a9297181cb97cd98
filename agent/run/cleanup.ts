import type { RunFailure } from "../../shared/failure.ts";
import { resume } from "../consistency/services.ts";
import { type HookRun, runHook } from "./hooks.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import type { RunUser } from "../system/process/user.ts";
import { failureOf, withWarnings } from "../run-error.ts";
import type { RunResult, RunRecord } from "./record.ts";
import type { Cleanup } from "../state/spool-entry.ts";

/**
 * Does the work, then runs the cleanup, whatever the result. A failed cleanup turns a succeeded run into a warned one.
 * @param cleanUp runs the cleanup registered so far
 * @returns the result of the work, with the cleanup's failures as warnings
 * @throws the error of the work, with the same warnings
 */
export async function withCleanup(
  cleanUp: () => Promise<RunFailure[]>,
  work: () => Promise<RunResult>,
): Promise<RunResult> {
  let finished: RunResult;
  try {
    finished = await work();
  } catch (error) {
    const failures = await cleanUp();
    throw withWarnings(
      error,
      failures.map(({ message }) => message),
    );
  }
  const failures = await cleanUp();
  const [first = null] = failures;
  return {
    ...finished,
    warnings: [...finished.warnings, ...failures.map(({ message }) => message)],
    failure: finished.failure ?? first,
    state: finished.state === "succeeded" && first !== null ? "warned" : finished.state,
  };
}

/**
 * Starts what was stopped, then runs every after hook, even if an earlier step failed. Cancelling the run does not stop
 * this: a stopped service has to be started again. The time limit of hooks applies.
 * @returns the failures
 */
export async function runCleanup(
  { record, fileDirectory }: { record: RunRecord; fileDirectory: string },
  { cleanup, user, environment }: { cleanup: Cleanup; user: RunUser; environment: HookRun["environment"] },
): Promise<RunFailure[]> {
  const failures: RunFailure[] = [];
  const attempt = async (step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      const failure = failureOf(error);
      record.log.line(`${failure.code}: ${failure.message}`);
      failures.push(failure);
    }
  };
  for (const resumption of cleanup.resume.toReversed()) {
    const beforeStart = (child: ProcessRef): Promise<void> => record.recordChild("hook", child);
    const context = { run: record.id, log: record.log, timeLimitMs: cleanup.timeLimitMs, beforeStart };
    await attempt(() => resume(context, resumption));
  }
  for (const hook of cleanup.hooks) {
    await attempt(() =>
      runHook({
        hook,
        user,
        environment,
        fileDirectory,
        phase: "after",
        run: record.id,
        log: record.log,
        binding: cleanup.binding,
        contract: cleanup.contract,
        timeLimitMs: cleanup.timeLimitMs,
        beforeStart: (child) => record.recordChild("hook", child),
      }),
    );
  }
  return failures;
}

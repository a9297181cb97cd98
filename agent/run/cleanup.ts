import type { RunFailure } from "../../shared/failure.ts";
import { resume } from "../consistency/services.ts";
import { runHook } from "./hooks.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import type { RunUser } from "../system/process/user.ts";
import { failureOf, withWarnings } from "../run-error.ts";
import type { RunResult, RunRecord } from "./record.ts";
import type { Cleanup } from "../state/spool-entry.ts";

/**
 * Does the work, and pays back what is owed for it, whatever became of it. What goes wrong with that makes a good run a warned one.
 * @param cleanUp `runAfterHooks` of what is owed by then. @returns the work's outcome, with what it says; its error is thrown with that as warnings
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
 * Sets going again what was halted, then runs every after hook, each whatever became of the one before it. Cancelling the run does not reach them: a service that
 * was stopped has to be started again. Their time limit does.
 * @returns what went wrong
 */
export async function runCleanup(
  { record, fileDirectory }: { record: RunRecord; fileDirectory: string },
  { cleanup, user }: { cleanup: Cleanup; user: RunUser },
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

import type { RunFailure } from "../../shared/failure.ts";
import { resume } from "../consistency/services.ts";
import { runHook } from "./hooks.ts";
import type { ProcessMark } from "../system/process/mark.ts";
import type { RunUser } from "../system/process/user.ts";
import { failureOf, withWarnings } from "../run-error.ts";
import type { Finished, RunRecord } from "./record.ts";
import type { AfterObligation } from "../state/spool-entry.ts";

/**
 * Does the work, and pays back what is owed for it, whatever became of it. What goes wrong with that makes a good run a warned one.
 * @param payBack `runAfterHooks` of what is owed by then. @returns the work's outcome, with what it says; its error is thrown with that as warnings
 */
export async function payingBack(
  payBack: () => Promise<RunFailure[]>,
  work: () => Promise<Finished>,
): Promise<Finished> {
  let finished: Finished;
  try {
    finished = await work();
  } catch (error) {
    const failures = await payBack();
    throw withWarnings(
      error,
      failures.map(({ message }) => message),
    );
  }
  const failures = await payBack();
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
export async function runAfterHooks(
  { record, fileDirectory }: { record: RunRecord; fileDirectory: string },
  { owed, user }: { owed: AfterObligation; user: RunUser },
): Promise<RunFailure[]> {
  const failures: RunFailure[] = [];
  const attempt = async (deed: () => Promise<void>): Promise<void> => {
    try {
      await deed();
    } catch (error) {
      const failure = failureOf(error);
      record.log.line(`${failure.code}: ${failure.message}`);
      failures.push(failure);
    }
  };
  for (const resumption of owed.resume.toReversed()) {
    const beforeStart = (child: ProcessMark): Promise<void> => record.noteChild("hook", child);
    const doing = { run: record.id, log: record.log, timeLimitMs: owed.timeLimitMs, beforeStart };
    await attempt(() => resume(doing, resumption));
  }
  for (const hook of owed.hooks) {
    await attempt(() =>
      runHook({
        hook,
        user,
        fileDirectory,
        phase: "after",
        run: record.id,
        log: record.log,
        binding: owed.binding,
        contract: owed.contract,
        timeLimitMs: owed.timeLimitMs,
        beforeStart: (child) => record.noteChild("hook", child),
      }),
    );
  }
  return failures;
}

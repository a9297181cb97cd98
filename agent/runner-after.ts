import type { RunFailure } from "../shared/failure.ts";
import { runHook } from "./hooks.ts";
import type { RunUser } from "./process-user.ts";
import { failureOf } from "./runner-failure.ts";
import type { RunRecord } from "./runner-record.ts";
import type { AfterObligation } from "./spool.ts";

/**
 * Runs every after hook, each whatever became of the one before it. Cancelling the run does not reach them: a service that
 * was stopped has to be started again. Their time limit does.
 * @returns what went wrong
 */
export async function runAfterHooks(
  { record, fileDirectory }: { record: RunRecord; fileDirectory: string },
  { owed, user }: { owed: AfterObligation; user: RunUser },
): Promise<RunFailure[]> {
  const failures: RunFailure[] = [];
  for (const hook of owed.hooks) {
    try {
      await runHook({
        ...{ hook, user, fileDirectory, phase: "after", run: record.id, log: record.log },
        ...{ binding: owed.binding, contract: owed.contract, timeLimitMs: owed.timeLimitMs },
        onStart: (child) => record.noteChild("hook", child),
      });
    } catch (error) {
      const failure = failureOf(error);
      record.log.line(`${failure.code}: ${failure.message}`);
      failures.push(failure);
    }
  }
  return failures;
}

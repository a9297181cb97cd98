import { readBackupDeferral, writeBackupDeferral } from "../state/backup-deferral.ts";
import { nextDeferral } from "../state/deferral.ts";
import type { RunnerDeps, RunnerInput } from "./deps.ts";
import { failureOf, RunError } from "../run-error.ts";
import type { RunResult } from "./record.ts";
import { EMPTY_RESULT } from "./record-run.ts";

/**
 * A scheduled backup whose repository is locked by another program is deferred, each time a little longer, and fails
 * only after a day: nothing was stored. A manual one fails at once: somebody waits for the answer.
 */
export async function deferIfLocked(
  { paths, clock }: Pick<RunnerDeps, "paths" | "clock">,
  { binding: { id: binding }, trigger }: RunnerInput,
  work: () => Promise<RunResult>,
): Promise<RunResult> {
  const finished = await work().catch((error: unknown): RunResult => {
    const failure = failureOf(error);
    if (failure.code !== "repository.locked") throw error;
    return { ...EMPTY_RESULT, state: "failed", failure, warnings: error instanceof RunError ? error.warnings : [] };
  });
  const isLocked = finished.snapshot === null && finished.failure?.code === "repository.locked";
  const isScheduled = trigger === "schedule" || trigger === "catch-up";
  if (!isScheduled) return finished;
  const deferral = isLocked ? nextDeferral(await readBackupDeferral(paths, binding), clock.now()) : null;
  await writeBackupDeferral(paths, { binding, deferral });
  return deferral === null ? finished : { ...finished, state: "cancelled" };
}

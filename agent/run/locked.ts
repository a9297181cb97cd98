import { readPutOff, writePutOff } from "../state/backup-put-off.ts";
import { putOffAgain } from "../state/put-off.ts";
import type { RunnerDeps, RunnerInput } from "./deps.ts";
import { failureOf, RunError } from "../run-error.ts";
import type { Finished } from "./record.ts";
import { NOTHING } from "./recorded.ts";

/**
 * A lock that another program holds is no failure of a scheduled backup for a day: nothing was stored, and it comes again, each
 * time a little later. One that a person asked for fails at once: somebody waits for the answer.
 */
export async function unlessLocked(
  { paths, clock }: Pick<RunnerDeps, "paths" | "clock">,
  { binding: { id: binding }, trigger }: RunnerInput,
  work: () => Promise<Finished>,
): Promise<Finished> {
  const finished = await work().catch((error: unknown): Finished => {
    const failure = failureOf(error);
    if (failure.code !== "repository.locked") throw error;
    return { ...NOTHING, state: "failed", failure, warnings: error instanceof RunError ? error.warnings : [] };
  });
  const isLocked = finished.snapshot === null && finished.failure?.code === "repository.locked";
  const isScheduled = trigger === "schedule" || trigger === "catch-up";
  if (!isScheduled) return finished;
  const putOff = isLocked ? putOffAgain(await readPutOff(paths, binding), clock.now()) : null;
  await writePutOff(paths, { binding, putOff });
  return putOff === null ? finished : { ...finished, state: "cancelled" };
}

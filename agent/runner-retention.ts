import type { Retention } from "../shared/binding.ts";
import { takeLock } from "./locks.ts";
import { checkBackup } from "./policy-check.ts";
import { prepare } from "./runner-access.ts";
import type { RunnerDeps, RunnerInput } from "./runner-deps.ts";
import type { Finished } from "./runner-record.ts";
import type { RecordedRun } from "./runner-recorded.ts";

/** Whether the retention removes anything at all. */
export function isKeepingAll(retention: Retention): boolean {
  return Object.values(retention).every((value) => value === undefined || value === 0);
}

/** The work of a forget run. Throws RunError for an early end. */
export async function performForget(deps: RunnerDeps, input: RunnerInput, run: RecordedRun): Promise<Finished> {
  const { assignment, binding } = input;
  const { record, signal } = run;
  const { access, provider } = await prepare(deps, {
    ...{ assignment, binding, signal, run: input.runId, log: record.log },
    onChild: (child) => record.noteChild("engine", child),
    as: "contract",
    mayGenerate: false,
    check: (policy, contract, repository) => checkBackup(policy, { contract, repository }),
  });
  const lock = await takeLock(deps.paths, {
    name: access.repository.id,
    signal,
    onWait: () => record.log.line("another run works on the repository: waiting for it"),
  });
  try {
    const repository = await provider.open(access, { mayCreate: false });
    const { snapshots, removed, failure } = await repository.forget(binding.settings.retention);
    return {
      state: failure === null ? "succeeded" : failure.code === "run.cancelled" ? "cancelled" : "failed",
      ...{ failure, snapshots, snapshot: null, warnings: [], engineId: repository.engineId },
      stats: { snapshotsRemoved: removed, snapshotsKept: snapshots.length },
    };
  } finally {
    await lock.release();
  }
}

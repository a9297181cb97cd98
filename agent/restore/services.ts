import type { RestoreRequest } from "../../shared/assignment.ts";
import { findHalts, halt } from "../consistency/services.ts";
import { resolveContract } from "../declared/policy.ts";
import { checkService } from "../policy/check.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import { ownUser } from "../system/process/user.ts";
import { readTimeLimit } from "../run/access.ts";
import { withCleanup, runCleanup } from "../run/cleanup.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import type { RunResult } from "../run/record.ts";
import type { RunContext } from "../run/record-run.ts";
import type { Cleanup } from "../state/spool-entry.ts";

interface RestoreRun {
  readonly input: RunnerInput & { readonly restore: RestoreRequest };
  readonly run: RunContext;
}

/**
 * Restores, and starts the stopped services again afterwards, whatever happens: the cleanup is in the spool before the
 * first unit is stopped.
 * @param work is given a function that stops the contract's units, to be called once it is certain that something will
 * be written in place
 */
export async function withServicesStopped(
  deps: RunnerDeps,
  { input, run }: RestoreRun,
  work: (stopServices: () => Promise<void>) => Promise<RunResult>,
): Promise<RunResult> {
  const units = await unitsOf(deps, input);
  if (units.length === 0) return await work(async () => undefined);
  const { record, signal } = run;
  const timeLimitMs = readTimeLimit(input.binding.settings, "hookTimeLimit");
  const user = ownUser();
  let cleanup: Cleanup = {
    user: user.name,
    timeLimitMs,
    hooks: [],
    resume: [],
    binding: input.binding.name,
    contract: input.binding.name,
  };
  const beforeStart = (child: ProcessRef): Promise<void> => record.recordChild("hook", child);
  const context = { run: record.id, log: record.log, signal, timeLimitMs, beforeStart };
  const cleanUp = () => runCleanup({ record, fileDirectory: deps.paths.state }, { cleanup, user, environment: {} });
  const stopServices = async (): Promise<void> => {
    const entries = units.map((stop) => ({ stop }));
    for (const one of await findHalts(context, entries)) {
      cleanup = { ...cleanup, resume: [...cleanup.resume, one.resumption] };
      await record.addCleanup(cleanup);
      await halt(context, one);
    }
  };
  return await withCleanup(cleanUp, () => work(stopServices));
}

/** The units the contract wants stopped for this restore. Throws PolicyError when the policy forbids one of them. */
async function unitsOf(
  { paths }: RunnerDeps,
  { assignment, binding, restore }: RestoreRun["input"],
): Promise<string[]> {
  const assigned = assignment.contracts.find(({ id }) => id === binding.contract);
  if (assigned === undefined || restore.target !== null || restore.dryRun) return [];
  const { contract, policy } = await resolveContract(paths, assigned);
  const units = contract.kind === "files" ? contract.stopForRestore : [];
  for (const unit of units) checkService(policy, unit);
  return units;
}

import type { RestoreRequest } from "../../shared/assignment.ts";
import { findHalts, halt } from "../consistency/services.ts";
import { judgeContract } from "../declared/policy.ts";
import { checkService } from "../policy/check.ts";
import type { ProcessMark } from "../system/process/mark.ts";
import { ownUser } from "../system/process/user.ts";
import { limitOf } from "../run/access.ts";
import { payingBack, runAfterHooks } from "../run/cleanup.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import type { Finished } from "../run/record.ts";
import type { RecordedRun } from "../run/recorded.ts";
import type { AfterObligation } from "../state/spool-entry.ts";

interface Restoring {
  readonly input: RunnerInput & { readonly restore: RestoreRequest };
  readonly run: RecordedRun;
}

/**
 * Does a restore's work, and starts again afterwards what was stopped for it, whatever happens between: that is owed, in
 * the spool, before the first unit is stopped.
 * @param work is given what stops the contract's units, to be called once it is sure that something will be written in place
 */
export async function betweenServices(
  deps: RunnerDeps,
  { input, run }: Restoring,
  work: (stopServices: () => Promise<void>) => Promise<Finished>,
): Promise<Finished> {
  const units = await unitsOf(deps, input);
  if (units.length === 0) return await work(async () => undefined);
  const { record, signal } = run;
  const timeLimitMs = limitOf(input.binding.settings, "hookTimeLimit");
  const user = ownUser();
  let owed: AfterObligation = {
    user: user.name,
    timeLimitMs,
    hooks: [],
    resume: [],
    binding: input.binding.name,
    contract: input.binding.name,
  };
  const beforeStart = (child: ProcessMark): Promise<void> => record.noteChild("hook", child);
  const doing = { run: record.id, log: record.log, signal, timeLimitMs, beforeStart };
  const payBack = () => runAfterHooks({ record, fileDirectory: deps.paths.state }, { owed, user });
  const stopServices = async (): Promise<void> => {
    const entries = units.map((stop) => ({ stop }));
    for (const one of await findHalts(doing, entries)) {
      owed = { ...owed, resume: [...owed.resume, one.resumption] };
      await record.oweAfter(owed);
      await halt(doing, one);
    }
  };
  return await payingBack(payBack, () => work(stopServices));
}

/** What the contract wants stopped for this restore. Throws PolicyError when the host's owner forbids one of them. */
async function unitsOf({ paths }: RunnerDeps, { assignment, binding, restore }: Restoring["input"]): Promise<string[]> {
  const assigned = assignment.contracts.find(({ id }) => id === binding.contract);
  if (assigned === undefined || restore.target !== null || restore.dryRun) return [];
  const { contract, policy } = await judgeContract(paths, assigned);
  const units = contract.kind === "files" ? contract.stopForRestore : [];
  for (const unit of units) checkService(policy, unit);
  return units;
}

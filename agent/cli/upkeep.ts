import type { AssignedRepository } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { forgetPlanLines } from "../../shared/forget-plan.ts";
import { type CliDeps, UsageError } from "./deps.ts";
import { loadBindingContext, loadHostContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";
import type { ForgetInput } from "../upkeep/forget.ts";
import { forget, runUpkeep } from "../runs.ts";
import { type RunOutcome } from "../run/deps.ts";
import type { UpkeepKind } from "../state/upkeep-state.ts";

interface CommandInput {
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Removes what a binding's retention no longer wants, or says what would go. @returns the exit status */
export async function forgetCommand(
  deps: CliDeps,
  { binding, dryRun, json, signal }: CommandInput & { binding: string; dryRun: boolean },
): Promise<number> {
  const host = await loadBindingContext(deps, binding);
  const input: ForgetInput = { ...host.target, ...newRunStart(deps, signal), dryRun };
  const outcome = await forget(host.runner, input);
  if (!json) printPlan(deps, outcome);
  const what = `${dryRun ? "dry run of the " : ""}forget of ${host.target.binding.name}`;
  return await printOutcome(deps, host, { what, outcome, json });
}

/** Prunes or checks a repository as a whole. @returns the exit status */
export async function upkeepCommand(
  deps: CliDeps,
  { kind, repository: wanted, json, signal }: CommandInput & { kind: UpkeepKind; repository: string },
): Promise<number> {
  const host = await loadHostContext(deps);
  const { assignment } = host;
  const repository = assignment.repositories.find(({ id, name }) => id === wanted || name === wanted);
  if (repository === undefined) throw new UsageError(unknownRepositoryMessage(wanted, assignment.repositories));
  const outcome = await runUpkeep(host.runner, { assignment, repository, kind, ...newRunStart(deps, signal) });
  return await printOutcome(deps, host, { what: `${kind} of ${repository.name}`, outcome, json });
}

function newRunStart(deps: CliDeps, signal: AbortSignal) {
  return { runId: uuidv7(deps.clock.now(), deps.random(10)), trigger: "manual" as const, scheduledAt: null, signal };
}

function printPlan(deps: CliDeps, { plan }: RunOutcome): void {
  for (const line of plan === null ? [] : forgetPlanLines(plan)) deps.out(`${line}\n`);
}

function unknownRepositoryMessage(wanted: string, repositories: readonly AssignedRepository[]): string {
  const names = repositories.map(({ name }) => name);
  return `no repository '${wanted}' here; ${names.length === 0 ? "there is none yet" : `there is: ${names.join(", ")}`}`;
}

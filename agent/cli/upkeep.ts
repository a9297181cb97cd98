import type { AssignedRepository } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { plannedLines } from "../../shared/planned.ts";
import { type CliDeps, UsageError } from "./command.ts";
import { openBinding, openHost } from "./host.ts";
import { sayOutcome } from "./outcome.ts";
import type { ForgetInput } from "../upkeep/forget.ts";
import { forget, upkeep } from "../runs.ts";
import { type Outcome } from "../run/deps.ts";
import type { UpkeepKind } from "../state/upkeep-state.ts";

interface Asked {
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Removes what a binding's retention no longer wants, or says what would go. @returns the exit status */
export async function forgetByHand(
  deps: CliDeps,
  { binding, dryRun, json, signal }: Asked & { binding: string; dryRun: boolean },
): Promise<number> {
  const host = await openBinding(deps, binding);
  const input: ForgetInput = { ...host.chosen, ...startOf(deps, signal), dryRun };
  const outcome = await forget(host.runner, input);
  if (!json) sayPlan(deps, outcome);
  const what = `${dryRun ? "dry run of the " : ""}forget of ${host.chosen.binding.name}`;
  return await sayOutcome(deps, host, { what, outcome, json });
}

/** Prunes or checks a repository as a whole. @returns the exit status */
export async function upkeepByHand(
  deps: CliDeps,
  { kind, repository: wanted, json, signal }: Asked & { kind: UpkeepKind; repository: string },
): Promise<number> {
  const host = await openHost(deps);
  const { assignment } = host;
  const repository = assignment.repositories.find(({ id, name }) => id === wanted || name === wanted);
  if (repository === undefined) throw new UsageError(noSuch(wanted, assignment.repositories));
  const outcome = await upkeep(host.runner, { assignment, repository, kind, ...startOf(deps, signal) });
  return await sayOutcome(deps, host, { what: `${kind} of ${repository.name}`, outcome, json });
}

function startOf(deps: CliDeps, signal: AbortSignal) {
  return { runId: uuidv7(deps.clock.now(), deps.random(10)), trigger: "manual" as const, scheduledAt: null, signal };
}

function sayPlan(deps: CliDeps, { plan }: Outcome): void {
  for (const line of plan === null ? [] : plannedLines(plan)) deps.out(`${line}\n`);
}

function noSuch(wanted: string, repositories: readonly AssignedRepository[]): string {
  const names = repositories.map(({ name }) => name);
  return `no repository '${wanted}' here; ${names.length === 0 ? "there is none yet" : `there is: ${names.join(", ")}`}`;
}

import type { AssignedRepository } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { forgetPlanLines } from "../../shared/forget-plan.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import { loadBindingContext, loadHostContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";
import * as runs from "../runs.ts";
import { type RunOutcome } from "../run/deps.ts";
import type { UpkeepKind } from "../state/upkeep-state.ts";
import type { Verb } from "./verb.ts";

/** Removes the snapshots a binding's retention does not keep, or lists them. */
export const forget: Verb = {
  name: "forget",
  help: {
    usage: "forget BINDING [--dry-run] [--below-floor] [--json]",
    summary:
      "remove what the retention no longer wants; --dry-run: only say which, and why others stay; --below-floor: also what the policy keeps",
  },
  takes: { flags: ["json", "dry-run", "below-floor"], names: ["BINDING"] },
  async run(deps, given) {
    const [dryRun, json] = [given.flag("dry-run"), given.flag("json")];
    const belowFloor = given.flag("below-floor");
    const signal = deps.stopSignal();
    const host = await loadBindingContext(deps, given.name(0));
    const outcome = await runs.forget(host.runner, {
      ...host.target,
      ...newRunStart(deps, signal),
      dryRun,
      belowFloor,
    });
    if (!json) printPlan(deps, outcome);
    const what = `${dryRun ? "dry run of the " : ""}forget of ${host.target.binding.name}`;
    return await printOutcome(deps, host, { what, outcome, json });
  },
};

export const check = upkeepVerb("check", "look for damage, and read the next part of the data");
export const prune = upkeepVerb("prune", "free the space of what was forgotten");

/** Prunes or checks a repository as a whole. */
function upkeepVerb(kind: UpkeepKind, summary: string): Verb {
  return {
    name: kind,
    help: { usage: `${kind} REPOSITORY [--json]`, summary },
    takes: { flags: ["json"], names: ["REPOSITORY"] },
    async run(deps, given) {
      const wanted = given.name(0);
      const signal = deps.stopSignal();
      const host = await loadHostContext(deps);
      const { assignment } = host;
      const repository = assignment.repositories.find(({ id, name }) => id === wanted || name === wanted);
      if (repository === undefined) throw new UsageError(unknownRepositoryMessage(wanted, assignment.repositories));
      const start = newRunStart(deps, signal);
      const outcome = await runs.runUpkeep(host.runner, { assignment, repository, kind, ...start });
      return await printOutcome(deps, host, {
        what: `${kind} of ${repository.name}`,
        outcome,
        json: given.flag("json"),
      });
    },
  };
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

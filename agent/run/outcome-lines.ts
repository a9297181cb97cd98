import type { RunFailure, RunFailureCode } from "../../shared/failure.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { RunOutcome } from "./deps.ts";

const TRY_LATER: ReadonlySet<RunFailureCode> = new Set(["repository.locked", "repository.unreachable", "run.busy"]);

/** How a run ended, in one line. @param what for a person: the run's kind and subject */
export function outcomeLine(what: string, { state, snapshot }: RunOutcome): string {
  return `${what}: ${state}${snapshot === null ? "" : `, snapshot ${snapshot}`}`;
}

/** The failure, and the next step. */
export function failureLines({ message, code, next }: RunFailure): string[] {
  return [`${message} (${code})`, next];
}

/** The exit status of a process that did this run. */
export function exitStatusOf({ state, failure }: Pick<RunOutcome, "state" | "failure">): number {
  if (state === "succeeded") return EXIT.done;
  if (state === "warned") return EXIT.warned;
  if (failure !== null && TRY_LATER.has(failure.code)) return EXIT.tryLater;
  return state === "cancelled" ? EXIT.cancelled : EXIT.failed;
}

/** The exit status of its unit: what was put off is tried again by the agent, so it is no failure of the unit. */
export function unitStatusOf(outcome: Pick<RunOutcome, "state" | "failure">): number {
  return outcome.state === "cancelled" ? EXIT.cancelled : exitStatusOf(outcome);
}

export function failureStatus({ code }: RunFailure): number {
  return TRY_LATER.has(code) ? EXIT.tryLater : EXIT.failed;
}

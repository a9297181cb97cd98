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
  if (state === "cancelled") return EXIT.cancelled;
  return failure === null ? EXIT.failed : failureStatus(failure);
}

export function failureStatus({ code }: RunFailure): number {
  return TRY_LATER.has(code) ? EXIT.tryLater : EXIT.failed;
}

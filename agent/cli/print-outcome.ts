import type { RunFailure } from "../../shared/failure.ts";
import { ApiError, openApi } from "../link/api.ts";
import { loadIdentity } from "../link/identity.ts";
import { readInstance } from "../link/instance.ts";
import { acknowledgeOrders } from "../link/orders.ts";
import { deliverReports } from "../link/reporter.ts";
import type { RunError } from "../run-error.ts";
import { type RunOutcome } from "../run/deps.ts";
import { exitStatusOf, failureLines, failureStatus, outcomeLine } from "../run/outcome-lines.ts";
import type { CliDeps } from "./deps.ts";
import type { HostContext } from "./host.ts";

const DELIVER_WITHIN_MS = 10_000;

/** Prints how a run ended, and delivers its report. @returns the exit status */
export async function printOutcome(
  deps: CliDeps,
  host: HostContext,
  result: { what: string; outcome: RunOutcome; json: boolean },
): Promise<number> {
  const { outcome } = result;
  deps.out(`${result.json ? JSON.stringify(outcome) : outcomeLine(result.what, outcome)}\n`);
  if (outcome.failure !== null) printFailure(deps, outcome.failure);
  await deliverNow(deps, host);
  return exitStatusOf(outcome);
}

/** If it can't be delivered, it stays in the spool for the daemon. */
async function deliverNow(deps: CliDeps, { config, runner }: HostContext): Promise<void> {
  const identity = await loadIdentity(deps.paths);
  if (identity === null) return;
  const instance = await readInstance(deps.paths);
  const api = openApi({ config, identity, clock: deps.clock, random: deps.random, instance });
  const clock = { now: () => deps.clock.now() + api.clockOffset() };
  const onAccepted = (ids: readonly string[]): Promise<void> => acknowledgeOrders({ paths: deps.paths, clock }, ids);
  const late = AbortSignal.timeout(DELIVER_WITHIN_MS);
  const tooLate = new Promise<"late">((resolve) => late.addEventListener("abort", () => resolve("late")));
  try {
    const left = await Promise.race([deliverReports({ spool: runner.spool, api, log: deps.log, onAccepted }), tooLate]);
    if (left !== 0) deps.log("the report is kept and delivered later");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    deps.log(`the report is kept and delivered later: ${error.message}`);
  }
}

/** Prints the failure and the next step. @returns the exit status */
export function printRunError(deps: CliDeps, error: RunError): number {
  printFailure(deps, error.failure);
  return failureStatus(error.failure);
}

function printFailure(deps: CliDeps, failure: RunFailure): void {
  for (const line of failureLines(failure)) deps.log(line);
}

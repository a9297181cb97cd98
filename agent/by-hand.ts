import type { AssignedBinding, Assignment, RestoreRequest } from "../shared/assignment.ts";
import type { RunFailure, RunFailureCode } from "../shared/failure.ts";
import { uuidv7 } from "../shared/ids.ts";
import { restoredLines } from "../shared/restored.ts";
import { ApiError, openApi } from "./api.ts";
import { loadAssignment } from "./assignments.ts";
import { readConfig } from "./config.ts";
import type { AgentConfig, Paths } from "./config.ts";
import { loadIdentity } from "./identity.ts";
import { acknowledgeOrders } from "./orders.ts";
import { deliverReports } from "./reporter.ts";
import { backup, execEngine, listSnapshots, restore, RunError } from "./runner.ts";
import type { Outcome, RunnerDeps } from "./runner.ts";
import { openSpool } from "./spool.ts";

export interface CliDeps {
  paths: Paths;
  clock: { now(): number };
  /** Milliseconds since the machine was started, its sleep included. */
  uptime?: () => number;
  random: (bytes: number) => Uint8Array;
  out: (text: string) => void;
  log: (line: string) => void;
}

/** What was typed can't be done as it stands: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

/** Exit statuses of every verb. */
export const EXIT = { done: 0, failed: 1, usage: 2, warned: 3, tryLater: 75 } as const;

const TRY_LATER: ReadonlySet<RunFailureCode> = new Set(["repository.locked", "repository.unreachable", "run.busy"]);
const DELIVER_WITHIN_MS = 10_000;

/** Backs one binding up now, in this process, whether or not the control plane is there. @returns the exit status */
export async function backupByHand(
  deps: CliDeps,
  input: { binding: string; acceptSources: boolean; json: boolean; signal: AbortSignal },
): Promise<number> {
  const host = await openBinding(deps, input.binding);
  const runId = uuidv7(deps.clock.now(), deps.random(10));
  const outcome = await backup(host.runner, {
    ...host.chosen,
    runId,
    acceptSources: input.acceptSources,
    trigger: "manual",
    scheduledAt: null,
    signal: input.signal,
  });
  return await sayOutcome(deps, host, { what: `backup of ${host.chosen.binding.name}`, outcome, json: input.json });
}

/** Restores from one snapshot of a binding. @returns the exit status */
export async function restoreByHand(
  deps: CliDeps,
  input: { binding: string; restore: RestoreRequest; json: boolean; signal: AbortSignal },
): Promise<number> {
  const host = await openBinding(deps, input.binding);
  if (!input.json) deps.out(`Will restore snapshot '${input.restore.snapshot}'\n`);
  const runId = uuidv7(deps.clock.now(), deps.random(10));
  const outcome = await restore(host.runner, {
    ...host.chosen,
    runId,
    trigger: "manual",
    scheduledAt: null,
    signal: input.signal,
    restore: input.restore,
  });
  if (!input.json) deps.out(lines(restoredLines(outcome)));
  return await sayOutcome(deps, host, { what: `restore of ${host.chosen.binding.name}`, outcome, json: input.json });
}

/** Prints one full snapshot id per line, oldest first, and nothing else. */
export async function listByHand(deps: CliDeps, input: { binding: string; json: boolean }): Promise<number> {
  const host = await openBinding(deps, input.binding);
  try {
    const listed = await listSnapshots(host.runner, host.chosen);
    const snapshots = listed.toSorted((one, other) =>
      one.takenAt < other.takenAt ? -1 : one.takenAt > other.takenAt ? 1 : 0,
    );
    deps.out(input.json ? `${JSON.stringify(snapshots, null, 2)}\n` : snapshots.map(({ id }) => `${id}\n`).join(""));
    return EXIT.done;
  } catch (error) {
    return sayRunError(deps, error);
  }
}

/** Runs the engine on a binding's repository with a person's own arguments. @returns the engine's exit status */
export async function execByHand(deps: CliDeps, input: { binding: string; args: string[] }): Promise<number> {
  const host = await openBinding(deps, input.binding);
  try {
    return await execEngine(host.runner, { ...host.chosen, args: input.args });
  } catch (error) {
    return sayRunError(deps, error);
  }
}

interface OpenHost {
  config: AgentConfig;
  runner: RunnerDeps;
  assignment: Assignment;
}

/** What this host has to do, for a verb that does a part of it now. Throws what to do first when it has nothing yet. */
export async function openHost(deps: CliDeps): Promise<OpenHost> {
  const config = await readConfig(deps.paths);
  if (config === null)
    throw new Error("this machine is not enrolled: run 'holdfast-agent enroll --url URL --token TOKEN' first");
  const assignment = await loadAssignment({ ...deps, config });
  if (assignment === null) {
    throw new Error(
      "this host has no assignment yet: is the agent running ('holdfast-agent run'), and does it reach its control plane?",
    );
  }
  const spool = openSpool(deps.paths);
  return { config, runner: { ...deps, spool, onProgress: () => {} }, assignment };
}

interface OpenBinding extends OpenHost {
  chosen: { assignment: Assignment; binding: AssignedBinding };
}

/** The same, and one of its bindings. Throws UsageError. */
export async function openBinding(deps: CliDeps, wanted: string): Promise<OpenBinding> {
  const host = await openHost(deps);
  const { assignment } = host;
  const binding = assignment.bindings.find(({ id, name }) => id === wanted || name === wanted);
  if (binding !== undefined) return { ...host, chosen: { assignment, binding } };
  const names = assignment.bindings.map(({ name }) => name);
  throw new UsageError(
    `no binding '${wanted}' here; ${names.length === 0 ? "there is none yet" : `there is: ${names.join(", ")}`}`,
  );
}

/** Says how a run ended, and reports it. @returns the exit status */
export async function sayOutcome(
  deps: CliDeps,
  host: OpenHost,
  said: { what: string; outcome: Outcome; json: boolean },
): Promise<number> {
  const { outcome } = said;
  const snapshot = outcome.snapshot === null ? "" : `, snapshot ${outcome.snapshot}`;
  deps.out(said.json ? `${JSON.stringify(outcome)}\n` : `${said.what}: ${outcome.state}${snapshot}\n`);
  if (outcome.failure !== null) sayFailure(deps, outcome.failure);
  await deliverNow(deps, host);
  return exitStatusOf(outcome);
}

function exitStatusOf({ state, failure }: Outcome): number {
  if (state === "succeeded") return EXIT.done;
  if (state === "warned") return EXIT.warned;
  return failure !== null && TRY_LATER.has(failure.code) ? EXIT.tryLater : EXIT.failed;
}

/** What can't be delivered stays in the spool: the daemon does it. */
async function deliverNow(deps: CliDeps, { config, runner }: OpenHost): Promise<void> {
  const identity = await loadIdentity(deps.paths);
  if (identity === null) return;
  const api = openApi({ config, identity, clock: deps.clock, random: deps.random });
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

/** Says why it could not be done, and what to do. @returns the exit status */
export function sayRunError(deps: CliDeps, error: unknown): number {
  if (!(error instanceof RunError)) throw error;
  sayFailure(deps, error.failure);
  return TRY_LATER.has(error.failure.code) ? EXIT.tryLater : EXIT.failed;
}

function sayFailure(deps: CliDeps, failure: RunFailure): void {
  deps.log(`${failure.message} (${failure.code})`);
  deps.log(failure.next);
}

import type { AssignedBinding, Assignment, RestoreRequest } from "../shared/assignment.ts";
import type { RunFailure } from "../shared/failure.ts";
import type { Id, Instant } from "../shared/ids.ts";
import type { Progress, RunState, SnapshotFacts, Trigger } from "../shared/run.ts";
import type { Paths } from "./config.ts";
import type { Spool } from "./spool.ts";

export { RunError } from "./runner-failure.ts";

export interface RunnerDeps {
  readonly paths: Paths;
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
  readonly spool: Spool;
  /** At most once a second per run. */
  readonly onProgress: (run: Id, progress: Progress) => void;
}

export interface RunnerInput {
  readonly assignment: Assignment;
  readonly binding: AssignedBinding;
  readonly runId: Id;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant | null;
  /** Aborting it cancels the run. */
  readonly signal: AbortSignal;
}

export interface Outcome {
  readonly runId: Id;
  readonly state: RunState;
  readonly failure: RunFailure | null;
  readonly snapshot: string | null;
}

/**
 * One backup, and after a good one the binding's retention as a run of its own. Never throws for what goes wrong in the
 * run: that is in the outcome, and in the spool before this returns.
 */
export function backup(_deps: RunnerDeps, _input: RunnerInput): Promise<Outcome> {
  throw new Error("being written");
}
export function restore(_deps: RunnerDeps, _input: RunnerInput & { readonly restore: RestoreRequest }): Promise<Outcome> {
  throw new Error("being written");
}
/** Throws RunError. */
export function listSnapshots(
  _deps: RunnerDeps,
  _input: { readonly assignment: Assignment; readonly binding: AssignedBinding },
): Promise<SnapshotFacts[]> {
  throw new Error("being written");
}
/** @returns the engine's exit code. Throws RunError when it can't be started. */
export function execEngine(
  _deps: RunnerDeps,
  _input: { readonly assignment: Assignment; readonly binding: AssignedBinding; readonly args: readonly string[] },
): Promise<number> {
  throw new Error("being written");
}
export function recoverInterrupted(_deps: RunnerDeps, _assignment: Assignment | null): Promise<void> {
  throw new Error("being written");
}

import type { AssignedBinding, Assignment } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Id, Instant } from "../../shared/ids.ts";
import type { PlannedSnapshot, Progress, RestoredItem, RunState, RunStats, Trigger } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import type { KillLadder } from "../system/process/kill-ladder.ts";
import type { EngineTimeouts } from "../providers/provider.ts";
import type { Spool } from "../state/spool.ts";

/** Dependencies of every kind of run. */
export interface RunnerDeps {
  readonly paths: Paths;
  readonly clock: { now(): number };
  /** Ms since the machine was started; without it, the clock alone says when a snapshot was made. */
  readonly uptime?: () => number;
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
  readonly spool: Spool;
  /** Called for every progress message of an engine: throttled where it is sent. */
  readonly onProgress: (run: Id, progress: Progress) => void;
  /** How far the control plane's clock is ahead of this host's, in ms, as far as known. */
  readonly clockOffset?: () => number;
  /** Interval of activity reports in ms; shortened in tests. */
  readonly activityEveryMs?: number;
  /** How an engine is stopped, and how long to wait for it; shortened in tests. */
  readonly ladder?: KillLadder;
  readonly timeouts?: EngineTimeouts;
}

/** The systemd unit that a run is in. None of it fails a run. */
export interface RunUnit {
  /** Writes a line, already redacted, to the journal of the unit. */
  log(line: string): void;
  /** Moves a child that has not begun yet, and so all that it starts, under the limits of the unit. */
  adopt(child: ProcessRef): Promise<void>;
  /** Adds to a failure what the unit's limits had to do with it. */
  explain(failure: RunFailure): Promise<RunFailure>;
}

/** What identifies a run, of any kind. */
export interface RunStart {
  readonly assignment: Assignment;
  readonly runId: Id;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant | null;
  /** Called once the run is in the spool, before anything is done. */
  readonly onStarted?: () => Promise<void>;
  /** The backup's sources are accepted as they are now, whatever earlier runs found. */
  readonly acceptSources?: boolean;
  /** Aborting it cancels the run. */
  readonly signal: AbortSignal;
  /** Where systemd is there, and the run is in a unit. */
  readonly unit?: RunUnit;
}

export interface RunnerInput extends RunStart {
  readonly binding: AssignedBinding;
}

export interface RunOutcome {
  readonly runId: Id;
  readonly state: RunState;
  readonly failure: RunFailure | null;
  readonly snapshot: string | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  /** Of a restore: what it could not restore, or what a dry run would do. */
  readonly items: readonly RestoredItem[] | null;
  /** Of a forget: the decision for each snapshot. */
  readonly plan: readonly PlannedSnapshot[] | null;
}

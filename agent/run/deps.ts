import type { AssignedBinding, Assignment } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Id, Instant } from "../../shared/ids.ts";
import type { PlannedSnapshot, Progress, RestoredItem, RunState, RunStats, Trigger } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import type { KillLadder } from "../system/process/kill-ladder.ts";
import type { EngineTimeouts } from "../providers/provider.ts";
import type { Spool } from "../state/spool.ts";

/** What every verb of the runner is handed. */
export interface RunnerDeps {
  readonly paths: Paths;
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
  readonly spool: Spool;
  /** Called as often as an engine counts: whoever sends it on does so less often. */
  readonly onProgress: (run: Id, progress: Progress) => void;
  /** How far the control plane's clock is ahead of this host's, in ms, as far as it is known. */
  readonly clockOffset?: () => number;
  /** How often a run says that it gets on; only tests can't wait. */
  readonly activityEveryMs?: number;
  /** How an engine is ended, and how long it is waited for; only tests are less patient. */
  readonly ladder?: KillLadder;
  readonly timeouts?: EngineTimeouts;
}

/** Which run it is, whatever it does. */
export interface RunStart {
  readonly assignment: Assignment;
  readonly runId: Id;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant | null;
  /** Called once its first line in the spool is durable, before anything is done. */
  readonly onStarted?: () => Promise<void>;
  /** The sources of a backup are taken as they are now, whatever they were like before. */
  readonly acceptSources?: boolean;
  /** Aborting it cancels the run. */
  readonly signal: AbortSignal;
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
  /** Of a restore: what it could not do, or would do. */
  readonly items: readonly RestoredItem[] | null;
  /** Of a forget: what it made of each snapshot. */
  readonly plan: readonly PlannedSnapshot[] | null;
}

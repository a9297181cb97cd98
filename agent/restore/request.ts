import type { RestoreRequest } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Aside } from "./aside.ts";
import type { Progress, RestoredItem, RunStats } from "../../shared/run.ts";

export interface RestoreInput {
  /** Directories of the restore's own; null: the target is a directory that the agent has made for itself. */
  readonly aside: Aside | null;
  /** Nobody but root and the agent's user can enter the target, and there was nothing in it. */
  readonly isTargetClosed: boolean;
  /** Paths on disk that root named itself, at the host's own terminal. */
  readonly named: readonly string[];
  /** A snapshot's full id, as listed. */
  readonly snapshot: string;
  /** A directory; null: restore in place. */
  readonly target: string | null;
  /** Only these paths and everything below them, as in the snapshot; empty: everything. */
  readonly include: readonly string[];
  readonly overwrite: RestoreRequest["overwrite"];
  /** Removes what the snapshot does not have, only inside the restored paths. */
  readonly delete: boolean;
  /** Changes nothing; `items` say what would change. */
  readonly dryRun: boolean;
  /** Awaited once the requested paths are known to exist in the snapshot, before the target is read or written. */
  readonly beforeWriting: () => Promise<void>;
  /** Patterns of paths that no snapshot contains; `delete` therefore leaves them. */
  readonly excludes: readonly string[];
  /** Compares everything with the snapshot afterwards, by content: reads all of it again from the repository. */
  readonly verify: boolean;
  readonly onProgress: (progress: Progress) => void;
}

export interface RestoreResult {
  /** What was not restored, one line each. */
  readonly warnings: readonly string[];
  readonly failure: RunFailure | null;
  readonly stats: RunStats;
  /** What was not restored and why; for a dry run, what would change. */
  readonly items: readonly RestoredItem[];
}

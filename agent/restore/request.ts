import type { RestoreRequest } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Progress, RestoredItem, RunStats } from "../../shared/run.ts";

export interface RestoreInput {
  /** A snapshot's full id, as listed. */
  readonly snapshot: string;
  /** A directory; null: everything back where it was. */
  readonly target: string | null;
  /** Only these paths and what is below them, as in the snapshot; empty: everything. */
  readonly include: readonly string[];
  readonly overwrite: RestoreRequest["overwrite"];
  /** Removes what the snapshot does not hold, inside what is restored and nowhere else. */
  readonly delete: boolean;
  /** Changes nothing, and says in `items` what would change. */
  readonly dryRun: boolean;
  /** Awaited once it is sure what is asked for is there, before anything is written or looked at where it belongs. */
  readonly beforeWriting: () => Promise<void>;
  /** Patterns of what no snapshot holds, which `delete` therefore leaves where it is. */
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

import type { RunFailure } from "../../shared/failure.ts";
import type { RunStats, SnapshotFacts } from "../../shared/run.ts";
import { failureOf, runFailure } from "../run-error.ts";
import type { BackupResult } from "./provider.ts";

/** How the engine's part of a backup ended, before the repository is asked. */
export interface EngineEnd {
  /** The engine's name, for messages. */
  readonly engine: string;
  /** Why it failed; null when it succeeded, or only left out files. */
  readonly failure: RunFailure | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  list(): Promise<SnapshotFacts[]>;
  /** The snapshot made by this backup. */
  find(snapshots: readonly SnapshotFacts[]): SnapshotFacts | null;
  /** Why a snapshot that exists must not count; null when it may. */
  faultOf(stats: RunStats | null): RunFailure | null;
  /** Removes the snapshot. @returns whether it is gone */
  discard(snapshot: SnapshotFacts): Promise<boolean>;
}

/** Builds a backup's result from what the repository lists, whatever the engine's exit code was. */
export async function buildBackupResult(end: EngineEnd): Promise<BackupResult> {
  const { engine, warnings, stats } = end;
  let listed: SnapshotFacts[];
  try {
    listed = await end.list();
  } catch (error) {
    const { message } = failureOf(error);
    const failure =
      end.failure ??
      runFailure(
        "snapshot.not_listed",
        `${engine} said the snapshot is stored, but it could not be listed: ${message}`,
      );
    return { snapshot: null, failure, warnings, stats, snapshots: null };
  }
  const made = end.find(listed);
  if (made === null) {
    const failure =
      end.failure ?? runFailure("snapshot.not_listed", `${engine} ended well, but its snapshot is not listed`);
    return { snapshot: null, failure, warnings, stats, snapshots: listed };
  }
  const fault = end.faultOf(stats);
  if (fault !== null) {
    // Remove it, so that it is never taken for a backup.
    const snapshots = (await end.discard(made)) ? listed.filter(({ id }) => id !== made.id) : listed;
    return { snapshot: null, failure: fault, warnings, stats, snapshots };
  }
  const snapshot = { ...made, bytesTotal: made.bytesTotal ?? stats?.bytesTotal ?? null };
  const snapshots = listed.map((one) => (one.id === made.id ? snapshot : one));
  return { snapshot, failure: end.failure, warnings, stats, snapshots };
}

import type { RunFailure } from "../../shared/failure.ts";
import type { RunStats, SnapshotFacts } from "../../shared/run.ts";
import { failureOf, runFailure } from "../run-error.ts";
import type { BackupResult } from "./provider.ts";

/** How the engine's part of a backup ended, before anybody has looked into the repository. */
export interface EngineEnd {
  /** The tool's name, for messages. */
  readonly engine: string;
  /** Why it did not end well; null when it did, or left out files only. */
  readonly failure: RunFailure | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  list(): Promise<SnapshotFacts[]>;
  /** The one that this backup made. */
  find(snapshots: readonly SnapshotFacts[]): SnapshotFacts | null;
  /** Why a snapshot that is there must not count. */
  faultOf(stats: RunStats | null): RunFailure | null;
  /** Removes it. @returns whether it is gone */
  discard(snapshot: SnapshotFacts): Promise<boolean>;
}

/** A backup is what the repository lists, whatever the engine's exit code said. */
export async function buildBackupResult(ending: EngineEnd): Promise<BackupResult> {
  const { engine, warnings, stats } = ending;
  let listed: SnapshotFacts[];
  try {
    listed = await ending.list();
  } catch (error) {
    const { message } = failureOf(error);
    const failure =
      ending.failure ??
      runFailure(
        "snapshot.not_listed",
        `${engine} said the snapshot is stored, but it could not be listed: ${message}`,
      );
    return { snapshot: null, failure, warnings, stats, snapshots: null };
  }
  const made = ending.find(listed);
  if (made === null) {
    const failure =
      ending.failure ?? runFailure("snapshot.not_listed", `${engine} ended well, but its snapshot is not listed`);
    return { snapshot: null, failure, warnings, stats, snapshots: listed };
  }
  const fault = ending.faultOf(stats);
  if (fault !== null) {
    // Nobody may ever take it for a backup.
    const snapshots = (await ending.discard(made)) ? listed.filter(({ id }) => id !== made.id) : listed;
    return { snapshot: null, failure: fault, warnings, stats, snapshots };
  }
  const snapshot = { ...made, bytesTotal: made.bytesTotal ?? stats?.bytesTotal ?? null };
  const snapshots = listed.map((one) => (one.id === made.id ? snapshot : one));
  return { snapshot, failure: ending.failure, warnings, stats, snapshots };
}

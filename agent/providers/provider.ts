import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Performance } from "../../shared/binding.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { EngineFacts } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import type { Progress, RunStats, SnapshotFacts } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import type { KillLadder } from "../system/process/kill-ladder.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import type { RunUser } from "../system/process/user.ts";
import type { SnapshotContents } from "./contents.ts";
import type { RunLog } from "../run-log.ts";
import type { RepositorySecrets } from "../policy/secrets.ts";

/** How long the engine may take for what is not the work itself. Tests shorten it. */
export interface EngineTimeouts {
  /** For a lock another program holds. */
  readonly lockMs: number;
  /** For finding out whether the repository is there. */
  readonly openMs: number;
}

/** Everything a provider needs to work on one repository for one binding. */
export interface Access {
  readonly paths: Paths;
  readonly clock: { now(): number };
  readonly repository: AssignedRepository;
  readonly secrets: RepositorySecrets;
  /** Whose snapshots these are: nothing of another host or binding is ever listed, removed or restored. */
  readonly scope: { readonly host: Id; readonly binding: Id };
  /** The run's id: every process of the run carries it in its environment. */
  readonly run: Id;
  readonly user: RunUser;
  readonly log: RunLog;
  readonly signal: AbortSignal;
  readonly ladder: KillLadder;
  readonly timeouts: EngineTimeouts;
  readonly limits: { readonly uploadKiBs: number | null; readonly downloadKiBs: number | null };
  /** How much every engine process gives way to the rest of the host. */
  readonly performance: Performance;
  /** Told of each process that is started for the run. */
  readonly onChild: (child: ProcessRef) => Promise<void>;
}

export interface BackupInput {
  /** Absolute, existing, and what they really are: no symbolic link is followed here. */
  readonly sources: readonly string[];
  readonly excludes: readonly string[];
  readonly onProgress: (progress: Progress) => void;
}

/** What a command writes, kept as one file of its own in the snapshot. */
export interface DumpInput {
  /** The file's name in the snapshot, at its root. */
  readonly name: string;
  /** Run by bash as the run's user, with errexit, nounset and pipefail; never in argv, since it may hold a secret. */
  readonly script: string;
  readonly onProgress: (progress: Progress) => void;
}

/** What was dumped, given to a command again. */
export interface LoadInput {
  /** A snapshot's full id, as listed. */
  readonly snapshot: string;
  readonly name: string;
  /** As in DumpInput. Its standard input ends only when the whole file was read from the repository. */
  readonly script: string;
  /** Whom the script runs as. */
  readonly user: RunUser;
}

export interface BackupResult {
  /** The new snapshot as the repository lists it, whatever the engine's exit code said; null when there is none. */
  readonly snapshot: SnapshotFacts | null;
  /** Why the engine did not end well; null when it did, or left out files only. */
  readonly failure: RunFailure | null;
  /** What was left out, one line each. */
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  /** All of the binding's snapshots after the backup; null when they could not be listed. */
  readonly snapshots: SnapshotFacts[] | null;
}

export interface ForgetResult {
  /** What the binding has afterwards, as listed, oldest first. */
  readonly snapshots: SnapshotFacts[];
  readonly removed: number;
  readonly failure: RunFailure | null;
}

/** How work on the repository as a whole ended. */
export interface UpkeepResult {
  readonly failure: RunFailure | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats;
}

/** A repository that is there, is the one that is meant, and opens with the passphrase. */
export interface OpenRepository {
  /** The repository's own id. */
  readonly engineId: string;
  /**
   * Stores a snapshot of the sources. Whatever happens to the engine on the way, whether there is a new snapshot is
   * looked up in the repository afterwards.
   */
  backup(input: BackupInput): Promise<BackupResult>;
  /** Stores what a command writes. A command that fails leaves no snapshot, whatever it had written by then. */
  dump(input: DumpInput): Promise<BackupResult>;
  /** The binding's snapshots, oldest first. Needs no lock, and waits for none. */
  snapshots(): Promise<SnapshotFacts[]>;
  /**
   * Removes these snapshots, as far as they are the binding's own, and no other. Space is not freed.
   * @param snapshots full ids; which ones is `planRetention`'s to say, so that it is the same for every tool
   * @returns `failure` when one of them is still there, whatever the tool's exit code says
   */
  forget(snapshots: readonly string[]): Promise<ForgetResult>;
  /** Frees the space of what was forgotten, by whomever. */
  prune(): Promise<UpkeepResult>;
  /**
   * Looks at the structure of the whole repository, and reads one part of its data. Found damage is the failure
   * `repository.damaged`. Once every part was read, all data was.
   */
  check(input: { readonly part: number; readonly parts: number }): Promise<UpkeepResult>;
  /** What the tool can list, read and write of the binding's snapshots. Made anew for each restore. */
  contents(): SnapshotContents;
  /** Gives what was dumped to a command. A command that complains, or a dump that can't be read whole, is a failure. */
  load(input: LoadInput): Promise<RunFailure | null>;
  /** Removes the locks that a process of this host left when it died, and no other. */
  removeStaleLocks(dead: ProcessRef): Promise<void>;
}

/** A backup tool. The same suite runs on every one. */
export interface Provider {
  /** The tool on this host; null when there is none. */
  find(): Promise<EngineFacts | null>;
  /**
   * Opens the repository; throws RunError when it is not there, not the remembered one, or does not open.
   * With `mayCreate`, one that was never seen before is created, once, and its id remembered before this returns.
   */
  open(access: Access, input: { mayCreate: boolean }): Promise<OpenRepository>;
  /** Runs the tool itself on the repository, for a person at the terminal. @returns its exit code */
  exec(access: Access, args: readonly string[]): Promise<number>;
}

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

/** Timeouts for waiting on locks and opening the repository. Shortened in tests. */
export interface EngineTimeouts {
  /** For a lock held by another program. */
  readonly lockMs: number;
  /** For finding out whether the repository exists. */
  readonly openMs: number;
}

/** Everything a provider needs to work on one repository for one binding. */
export interface Access {
  readonly paths: Paths;
  readonly clock: { now(): number };
  readonly repository: AssignedRepository;
  readonly secrets: RepositorySecrets;
  /** Owner of the snapshots: nothing of another host or binding is ever listed, removed or restored. */
  readonly scope: { readonly host: Id; readonly binding: Id };
  /** The run's id: every process of the run has it in its environment. */
  readonly run: Id;
  readonly user: RunUser;
  /** In a restore, who makes the backups, if the host has the user; null elsewhere. */
  readonly backupUser: RunUser | null;
  readonly log: RunLog;
  readonly signal: AbortSignal;
  readonly ladder: KillLadder;
  readonly timeouts: EngineTimeouts;
  readonly limits: { readonly uploadKiBs: number | null; readonly downloadKiBs: number | null };
  /** CPU and I/O priority of every engine process. */
  readonly performance: Performance;
  /** Called with each process that is started for the run. */
  readonly onChild: (child: ProcessRef) => Promise<void>;
}

export interface BackupInput {
  /** Absolute and existing, with symbolic links resolved. */
  readonly sources: readonly string[];
  readonly excludes: readonly string[];
  readonly onProgress: (progress: Progress) => void;
}

/** The output of a command, stored as one file in the snapshot. */
export interface DumpInput {
  /** The file's name, at the root of the snapshot. */
  readonly name: string;
  /**
   * Run by bash as the run's user, with errexit, nounset and pipefail. Never in argv, since it may contain a secret.
   */
  readonly script: string;
  readonly onProgress: (progress: Progress) => void;
}

/** A dump to feed to a command. */
export interface LoadInput {
  /** A snapshot's full id, as listed. */
  readonly snapshot: string;
  readonly name: string;
  /** As in DumpInput. Its stdin ends only when the whole file was read from the repository. */
  readonly script: string;
  /** The user the script runs as. */
  readonly user: RunUser;
}

export interface LoadResult {
  readonly failure: RunFailure | null;
  /** Errors that the command printed although it succeeded. */
  readonly warnings: readonly string[];
}

export interface BackupResult {
  /** The new snapshot as the repository lists it, whatever the engine's exit code was; null when there is none. */
  readonly snapshot: SnapshotFacts | null;
  /** Why the engine failed; null when it succeeded, or only left out files. */
  readonly failure: RunFailure | null;
  /** What was left out, one line each. */
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  /** All of the binding's snapshots after the backup; null when they could not be listed. */
  readonly snapshots: SnapshotFacts[] | null;
}

export interface ForgetResult {
  /** The binding's snapshots afterwards, as listed, oldest first. */
  readonly snapshots: SnapshotFacts[];
  readonly removed: number;
  readonly failure: RunFailure | null;
}

/** Result of work on the repository as a whole. */
export interface UpkeepResult {
  readonly failure: RunFailure | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats;
}

/** A snapshot as the repository lists it. Its tags stay on the host: nobody else needs them. */
export interface ListedSnapshot extends SnapshotFacts {
  /** Those that people gave it; absent when there are none, or the engine has no tags. */
  readonly tags?: readonly string[];
}

/** A snapshot of any host and binding. */
export interface ScopedSnapshot extends SnapshotFacts {
  readonly scope: Access["scope"];
}

/** A repository that exists, is the expected one, and opens with the passphrase. */
export interface OpenRepository {
  /** The id the repository has inside the engine. */
  readonly engineId: string;
  /**
   * Stores a snapshot of the sources. What the engine says is not enough: the repository is asked afterwards whether
   * there is a new snapshot, or shows it where its files can be seen.
   */
  backup(input: BackupInput): Promise<BackupResult>;
  /** Stores a command's output. A failed command leaves no snapshot, whatever it had written. */
  dump(input: DumpInput): Promise<BackupResult>;
  /** The binding's snapshots, oldest first. Needs no lock, and waits for none. */
  snapshots(): Promise<ListedSnapshot[]>;
  /** The snapshots of every host and binding, oldest first: for who has the repository and nothing else. */
  everySnapshot(): Promise<ScopedSnapshot[]>;
  /**
   * Removes these snapshots, only if they are the binding's own, and no others. Does not free space. The binding's
   * snapshots are listed first, unless this object has just listed them.
   * @param snapshots full ids, chosen by `planRetention`, so that retention is the same for every engine
   * @returns `failure` when one of them is still listed, whatever the engine's exit code was
   */
  forget(snapshots: readonly string[]): Promise<ForgetResult>;
  /** Frees the space of removed snapshots, whoever removed them. */
  prune(): Promise<UpkeepResult>;
  /**
   * Checks the structure of the whole repository, and reads one part of its data. Damage is the failure
   * `repository.damaged`. Once every part was read, all data was.
   */
  check(input: { readonly part: number; readonly parts: number }): Promise<UpkeepResult>;
  /** What the engine can list, read and write of the binding's snapshots. Created anew for each restore. */
  contents(): SnapshotContents;
  /** Feeds a dump to a command. A command that fails, or a dump that can't be read completely, is a failure. */
  load(input: LoadInput): Promise<LoadResult>;
  /** From now on this passphrase opens it: beside the one in use, or in its place where there is only one. */
  addPassphrase(passphrase: string): Promise<void>;
  /** From now on this passphrase, which is not the one in use, opens nothing. It may have been dropped before. */
  dropPassphrase(passphrase: string): Promise<void>;
  /** Removes locks left by a dead process of this host, and no others. */
  removeStaleLocks(dead: ProcessRef): Promise<void>;
}

/** How much is taken from an earlier run: see OpenInput. */
export type RecallMode = "none" | "confirmed" | "assumed";

export interface OpenInput {
  readonly mayCreate: boolean;
  /**
   * What an earlier run knew may be taken instead of asking the engine: "confirmed" if the repository's own files say
   * that it is the same one, "assumed" also if the engine's first answer will say it. "none" when not given.
   */
  readonly recall?: RecallMode;
}

/** Our interface around one engine. The same test suite runs on every one. */
export interface Provider {
  /** Finds the engine on this host; null when there is none. */
  find(): Promise<EngineFacts | null>;
  /**
   * Opens the repository; throws RunError when it does not exist, is not the expected one, or can't be opened. With
   * `mayCreate`, a repository that was never used is created, once, and its id is stored before this returns.
   */
  open(access: Access, input: OpenInput): Promise<OpenRepository>;
  /** Runs the engine itself on the repository, for a person at the terminal. @returns its exit code */
  exec(access: Access, args: readonly string[]): Promise<number>;
}

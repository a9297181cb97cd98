import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { RunFailure } from "./failure.ts";

export const RunKind = z.enum(["backup", "forget", "prune", "check", "restore"]);
export type RunKind = z.infer<typeof RunKind>;

export const RunState = z.enum(["queued", "running", "succeeded", "warned", "failed", "cancelled", "interrupted"]);
export type RunState = z.infer<typeof RunState>;

/** `warned` has a usable snapshot. `failed`, `cancelled` and `interrupted` have none that counts. */
export function isOver(state: RunState): boolean {
  return state !== "queued" && state !== "running";
}

export function isGood(state: RunState): boolean {
  return state === "succeeded" || state === "warned";
}

export const Trigger = z.enum(["schedule", "catch-up", "order", "manual", "retention"]);
export type Trigger = z.infer<typeof Trigger>;

const count = z.int().min(0);

/** What the engine counted. Bytes are bytes; `added` is after deduplication, before compression. */
export const RunStats = z.object({
  filesNew: count.optional(),
  filesChanged: count.optional(),
  filesUnmodified: count.optional(),
  filesTotal: count.optional(),
  bytesTotal: count.optional(),
  bytesAdded: count.optional(),
  filesRestored: count.optional(),
  bytesRestored: count.optional(),
  snapshotsRemoved: count.optional(),
  snapshotsKept: count.optional(),
  bytesFreed: count.optional().describe("by a prune"),
  bytesChecked: count.optional().describe("by a check that read data"),
  filesSkipped: count.optional().describe("by a restore: already as in the snapshot, or not to be overwritten"),
  filesDeleted: count.optional().describe("by a restore with `delete`"),
  filesKeptAside: count.optional().describe("by a restore: what it replaced or removed, and kept"),
  keptAsideIn: z.array(z.string().max(4096)).max(10).optional().describe("by a restore: the directories with it"),
  databasesRestored: count
    .optional()
    .describe("copies and dumps restored with the files, or that a dry run would restore"),
  filesToCreate: count.optional().describe("by a restore, in a dry run"),
  filesToUpdate: count.optional().describe("by a restore, in a dry run"),
  filesToDelete: count.optional().describe("by a restore, in a dry run"),
  bytesToRestore: count.optional().describe("by a restore, in a dry run: the size of what it would write"),
  filesMatching: count.optional().describe("after a restore: as in the snapshot"),
  filesDiffering: count.optional().describe("after a restore: not as in the snapshot, or missing"),
});
export type RunStats = z.infer<typeof RunStats>;

/** Progress of a running run. Live only: sent over the socket, and gone when the run is over. */
export const Progress = z.object({
  fraction: z.number().min(0).max(1),
  filesDone: count.optional(),
  filesTotal: count.optional(),
  bytesDone: count.optional(),
  bytesTotal: count.optional(),
  worked: count
    .optional()
    .describe("in how many checks, one a minute, its processes were active; while it grows, the run is not stuck"),
  at: Instant,
});
export type Progress = z.infer<typeof Progress>;

/** A retention's decision for one snapshot, done or planned. */
export const PlannedSnapshot = z.object({
  snapshot: z.string().max(128),
  takenAt: Instant,
  keep: z.boolean(),
  reasons: z.array(z.string().max(128)).max(20).describe("the rules that keep it; none when it is removed"),
});
export type PlannedSnapshot = z.infer<typeof PlannedSnapshot>;

/** What a restore did to one path, would do, or could not do. */
export const RestoredItem = z.object({
  path: z.string().max(4096).describe("as in the snapshot"),
  action: z.enum(["create", "update", "delete", "failed", "differs"]),
  reason: z.string().max(1000).optional(),
});
export type RestoredItem = z.infer<typeof RestoredItem>;

/** How many items a report contains at most; the run's counts are of all. */
export const MAX_ITEMS = 2_000;

export const LOG_TAIL_BYTES = 65_536;

/** One execution. Its id is made where it starts: on the host, or in the control plane for an ordered run. */
export const Run = z.object({
  id: Id,
  host: Id,
  binding: Id.nullable().describe("null for runs of a repository as a whole: prune and check"),
  repository: Id.nullable().default(null).describe("null in reports of hosts before 0.2"),
  kind: RunKind,
  trigger: Trigger,
  state: RunState,
  scheduledAt: Instant.nullable().describe("its due time by the schedule; null when it was not scheduled"),
  queuedAt: Instant.nullable(),
  startedAt: Instant.nullable(),
  finishedAt: Instant.nullable(),
  snapshot: z.string().nullable().describe("the snapshot made or restored, as the repository lists it"),
  failure: RunFailure.nullable(),
  warnings: z.array(z.string().max(4096)).max(100),
  stats: RunStats.nullable(),
  plan: z
    .array(PlannedSnapshot)
    .max(10_000)
    .nullable()
    .default(null)
    .describe("of a forget: what it kept and why, or would keep"),
  items: z
    .array(RestoredItem)
    .max(MAX_ITEMS)
    .nullable()
    .default(null)
    .describe("of a restore: what it could not do, or would do"),
  progress: Progress.nullable(),
});
export type Run = z.infer<typeof Run>;

export const RunWithLog = Run.extend({ log: z.string().describe("the end of the run's log, at most 64 KiB") });

/** One restore point, as listed in the repository. */
export const SnapshotFacts = z.object({
  id: z.string().min(1).max(128).describe("the provider's id"),
  takenAt: Instant,
  paths: z.array(z.string()).max(1000),
  bytesTotal: count.nullable(),
});
export type SnapshotFacts = z.infer<typeof SnapshotFacts>;

export const Snapshot = SnapshotFacts.extend({ host: Id, binding: Id, repository: Id, run: Id.nullable() });
export type Snapshot = z.infer<typeof Snapshot>;

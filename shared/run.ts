import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { RunFailure } from "./failure.ts";

export const RunKind = z.enum(["backup", "forget", "restore"]);
export type RunKind = z.infer<typeof RunKind>;

export const RunState = z.enum(["queued", "running", "succeeded", "warned", "failed", "cancelled", "interrupted"]);
export type RunState = z.infer<typeof RunState>;

/** `warned` has a usable snapshot; the other three of these have none that this run vouches for. */
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
});
export type RunStats = z.infer<typeof RunStats>;

/** Where a running run is. Live only: it comes over the socket and is gone when the run is over. */
export const Progress = z.object({
  fraction: z.number().min(0).max(1),
  filesDone: count.optional(),
  filesTotal: count.optional(),
  bytesDone: count.optional(),
  bytesTotal: count.optional(),
  at: Instant,
});
export type Progress = z.infer<typeof Progress>;

export const LOG_TAIL_BYTES = 65_536;

/** One execution. Its id is made where it starts: on the host, or in the control plane for an ordered one. */
export const Run = z.object({
  id: Id,
  host: Id,
  binding: Id,
  kind: RunKind,
  trigger: Trigger,
  state: RunState,
  scheduledAt: Instant.nullable().describe("the time of the schedule it was due at; null when nobody scheduled it"),
  queuedAt: Instant.nullable(),
  startedAt: Instant.nullable(),
  finishedAt: Instant.nullable(),
  snapshot: z.string().nullable().describe("the snapshot made or restored, as the repository lists it"),
  failure: RunFailure.nullable(),
  warnings: z.array(z.string().max(4096)).max(100),
  stats: RunStats.nullable(),
  progress: Progress.nullable(),
});
export type Run = z.infer<typeof Run>;

export const RunWithLog = Run.extend({ log: z.string().describe("the end of the run's log, at most 64 KiB") });

/** One restore point, as the repository lists it. */
export const SnapshotFacts = z.object({
  id: z.string().min(1).max(128).describe("the provider's id"),
  takenAt: Instant,
  paths: z.array(z.string()).max(1000),
  bytesTotal: count.nullable(),
});
export type SnapshotFacts = z.infer<typeof SnapshotFacts>;

export const Snapshot = SnapshotFacts.extend({ host: Id, binding: Id, repository: Id, run: Id.nullable() });
export type Snapshot = z.infer<typeof Snapshot>;

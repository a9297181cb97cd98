import { join } from "node:path";
import * as z from "zod";
import { type Id, Instant } from "../../shared/ids.ts";
import type { RunKind } from "../../shared/run.ts";
import type { LastStart } from "../../shared/timer.ts";
import type { Paths } from "../config.ts";
import { isAlive, ownProcessRef, ProcessRef } from "../system/process/process-ref.ts";
import { readState, writeState } from "../system/state-file.ts";

const StoredLastRun = z.strictObject({
  startedAt: Instant,
  endedAt: Instant.nullable().describe("null: it runs, or its process has died"),
  owner: ProcessRef,
});

type LastRunPaths = Pick<Paths, "bindingsDir" | "repositoriesDir">;

/** What is scheduled: a binding's backup, or the upkeep of a repository (`ID.prune`, `ID.check`). */
export interface ScheduledSubject {
  readonly kind: "backup" | "prune" | "check";
  readonly id: string;
}

/** @returns null for a run that no schedule starts */
export function scheduledSubject(
  kind: RunKind,
  { binding, repository }: { binding: Id | null; repository: Id },
): ScheduledSubject | null {
  if (kind === "backup") return binding === null ? null : { kind, id: binding };
  return kind === "prune" || kind === "check" ? { kind, id: `${repository}.${kind}` } : null;
}

/** When the task last ran, whoever started it; null: never, or not known. */
export async function readLastRun(paths: LastRunPaths, subject: ScheduledSubject): Promise<LastStart | null> {
  const stored = await readState(fileOf(paths, subject), StoredLastRun);
  if (stored === null) return null;
  const startedMs = Date.parse(stored.startedAt);
  if (stored.endedAt !== null) return { startedMs, endedMs: Date.parse(stored.endedAt) };
  return { startedMs, endedMs: isAlive(stored.owner) ? null : startedMs };
}

/** Called with the start of every run of the task, and again with its end. */
export async function writeLastRun(
  paths: LastRunPaths,
  subject: ScheduledSubject,
  { startedAt, endedAt }: { startedAt: Instant; endedAt: Instant | null },
): Promise<void> {
  await writeState(fileOf(paths, subject), { startedAt, endedAt, owner: ownProcessRef() });
}

function fileOf({ bindingsDir, repositoriesDir }: LastRunPaths, { kind, id }: ScheduledSubject): string {
  return join(kind === "backup" ? bindingsDir : repositoriesDir, `${id}.last-run.json`);
}

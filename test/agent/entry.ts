import type { SpoolEntry } from "../../agent/state/spool-entry.ts";
import type { RunState } from "../../shared/run.ts";
import { newId } from "./signer.ts";

/** What the spool keeps of a run of that state, nothing owed. */
export function entryOf(state: RunState, sequence = 2, id = newId(), log = ""): SpoolEntry {
  const at = "2026-11-23T08:00:00.000Z";
  const finishedAt = state === "running" ? null : at;
  const run = {
    id,
    binding: newId(),
    repository: null,
    kind: "backup",
    trigger: "schedule",
    state,
    scheduledAt: at,
    queuedAt: null,
  } as const;
  const rest = {
    startedAt: at,
    finishedAt,
    snapshot: null,
    failure: null,
    warnings: [],
    stats: null,
    plan: null,
    items: null,
  };
  const details = { log, suspicious: null, engineId: null, snapshots: null };
  const report = { type: "run", sequence, run: { ...run, ...rest }, ...details } as const;
  return { report, owner: null, after: null };
}

export function idOf({ report }: SpoolEntry): string {
  return report.type === "run" ? report.run.id : report.id;
}

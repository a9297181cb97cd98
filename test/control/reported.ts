import type { RunFailureCode } from "../../shared/failure.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import type { Refusal, RunReport } from "../../shared/report.ts";
import { isOver, type RunKind, type RunState, type SnapshotFacts } from "../../shared/run.ts";

/** A run's id as a host makes it at that moment. */
export function runIdAt(at: string): string {
  return uuidv7(Date.parse(at), crypto.getRandomValues(new Uint8Array(10)));
}

/** A report as an agent would send it, of a run that began when its id was made and took a minute. */
export function reportOf(run: {
  id: string;
  binding: string;
  state: RunState;
  kind?: RunKind;
  sequence?: number;
  made?: string;
  suspicious?: string;
  listed?: SnapshotFacts[] | null;
  engineId?: string | null;
  failure?: RunFailureCode;
  log?: string;
  warnings?: string[];
}): RunReport {
  const startedAtMs = Number.parseInt(run.id.replaceAll("-", "").slice(0, 12), 16);
  const bad = run.state === "failed" || run.state === "interrupted";
  return {
    type: "run",
    sequence: run.sequence ?? 1,
    run: {
      id: run.id,
      binding: run.binding,
      repository: null,
      kind: run.kind ?? "backup",
      trigger: "schedule",
      state: run.state,
      scheduledAt: null,
      queuedAt: null,
      startedAt: instant(startedAtMs),
      finishedAt: isOver(run.state) ? instant(startedAtMs + 60_000) : null,
      snapshot: run.made ?? null,
      failure: bad
        ? { code: run.failure ?? "source.missing", message: "/srv is not there", next: "bring it back" }
        : null,
      warnings: run.warnings ?? [],
      stats: null,
      plan: null,
      items: null,
    },
    suspicious: run.suspicious ?? null,
    log: run.log ?? "",
    engineId: run.engineId ?? null,
    snapshots: run.listed ?? null,
  };
}

export function snapshotAt(id: string, takenAt: string): SnapshotFacts {
  return { id, takenAt, paths: ["/srv"], bytesTotal: 1000 };
}

export function refusalOf(id: string): Refusal {
  return {
    type: "refusal",
    id,
    at: "2026-11-23T08:00:00.000Z",
    code: "policy.hooks",
    subject: "photos",
    message: "inline hooks are off",
  };
}

import { and, eq, sql } from "drizzle-orm";
import type { Id, Instant } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood, isOver, type RunState } from "../../../shared/run.ts";
import { newestRuns } from "../../db/schema/runs.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { firstFutureId } from "../ids.ts";
import { MAX_FAILURES, recountStreaks } from "../runs/streaks.ts";

type Row = typeof newestRuns.$inferSelect;

/** What is kept of the newest runs of a host that these reports are about, and what they change of it. */
export interface NewestRuns {
  readonly host: Id;
  /** Ids from this one on come from a clock that is or was ahead. */
  readonly firstFuture: Id;
  /** By `SUBJECT KIND`. */
  readonly rows: Map<string, Row>;
  readonly changed: Set<string>;
  /** Rows of which a run was reported out of order, with the id of the run. */
  readonly recounted: Map<string, RunReport["run"]>;
}

/** How a run changes the streak of its kind. */
export interface StreakChange {
  readonly failures: number;
  readonly before: RunState | null;
  /** Start of the failures: those before a good run, or those that go on. */
  readonly failedSince: Instant | null;
}

export type SourceCheck = { isSuspicious: false } | { isSuspicious: true; reason: string };

/** What a report changes. Null: the run does not count (unfinished, cancelled, or older than one that counted). */
export interface RunChange {
  readonly streak: StreakChange | null;
  readonly sourceCheck: SourceCheck | null;
}

export function newestRunsOf(deps: Pick<Deps, "clock">, host: Id, rows: readonly Row[]): NewestRuns {
  return {
    host,
    firstFuture: firstFutureId(deps),
    rows: new Map(rows.map((row) => [`${row.subject} ${row.kind}`, row])),
    changed: new Set(),
    recounted: new Map(),
  };
}

/**
 * Adds a reported run to what is kept of its binding or repository.
 * @param stored the run's state before this report; null when it was not known
 */
export function addRun(newest: NewestRuns, { run, suspicious }: RunReport, stored: RunState | null): RunChange {
  const subject = run.binding ?? run.repository ?? "";
  const key = `${subject} ${run.kind}`;
  const row = newest.rows.get(key) ?? emptyRow(newest.host, subject, run.kind);
  // A run whose id lies in the future must not hide newer ones, once the clock is right.
  const isNewest = (id: Id | null) =>
    id === null || id <= run.id || (id >= newest.firstFuture && run.id < newest.firstFuture);

  const isCheck = run.kind === "backup" && (isGood(run.state) || suspicious !== null) && isNewest(row.checked);
  const isLast = isDecisive(run.state) && isNewest(row.decided);
  const next: Row = {
    ...row,
    ...(run.startedAt !== null && isNewest(row.started) ? { started: run.id, startedAt: run.startedAt } : {}),
    ...(isCheck ? { checked: run.id } : {}),
    ...(isLast ? withDecided(row, run) : {}),
    running: runningAfter(row.running, run, isNewest),
  };
  newest.rows.set(key, next);
  newest.changed.add(key);
  // It decided already, and otherwise; or a newer one has decided: only the history says what is right then.
  const wasDecided = stored !== null && isDecisive(stored);
  if (wasDecided ? stored !== run.state : isDecisive(run.state) && !isLast) newest.recounted.set(key, run);
  const change = { failures: next.failures, before: row.state };
  return {
    streak: isLast ? { ...change, failedSince: isGood(run.state) ? row.failedSince : next.failedSince } : null,
    sourceCheck: !isCheck
      ? null
      : suspicious === null
        ? { isSuspicious: false }
        : { isSuspicious: true, reason: suspicious },
  };
}

/** Statements that keep what changed; after those that save the runs. */
export function keepNewestRuns(deps: Pick<Deps, "db">, newest: NewestRuns): Statement[] {
  const rows = [...newest.changed].flatMap((key) => newest.rows.get(key) ?? []);
  if (rows.length === 0) return [];
  return [
    deps.db
      .insert(newestRuns)
      .values(rows)
      .onConflictDoUpdate({ target: [newestRuns.subject, newestRuns.kind, newestRuns.host], set: AS_INSERTED }),
    ...[...newest.recounted.values()].map((run) =>
      recountStreaks(deps, {
        of: run.binding === null ? "repository" : "binding",
        which: sql`${and(
          eq(newestRuns.subject, run.binding ?? run.repository ?? ""),
          eq(newestRuns.kind, run.kind),
          eq(newestRuns.host, newest.host),
        )}`,
        // While the clock is ahead, all its runs are.
        before: run.id < newest.firstFuture ? newest.firstFuture : "~",
      }),
    ),
  ];
}

function withDecided(row: Row, run: RunReport["run"]): Partial<Row> {
  const decided = { decided: run.id, state: run.state, triedAt: run.startedAt, decidedAt: run.finishedAt };
  if (isGood(run.state)) return { ...decided, failures: 0, failedSince: null, succeededAt: run.finishedAt };
  const wasBad = row.state !== null && !isGood(row.state);
  const isCounted = row.decided === run.id && wasBad;
  return {
    ...decided,
    failures: isCounted ? row.failures : Math.min(row.failures + 1, MAX_FAILURES),
    failedSince: wasBad ? row.failedSince : (run.finishedAt ?? run.startedAt),
  };
}

function runningAfter(running: Id | null, run: RunReport["run"], isNewest: (id: Id | null) => boolean): Id | null {
  if (run.state === "running" && isNewest(running)) return run.id;
  return running === run.id && isOver(run.state) ? null : running;
}

/** Whether a run in this state says how its kind of run goes. */
function isDecisive(state: RunState): boolean {
  return isGood(state) || state === "failed" || state === "interrupted";
}

function emptyRow(host: Id, subject: Id, kind: Row["kind"]): Row {
  return {
    host,
    subject,
    kind,
    decided: null,
    state: null,
    triedAt: null,
    decidedAt: null,
    failures: 0,
    failedSince: null,
    succeededAt: null,
    checked: null,
    started: null,
    startedAt: null,
    running: null,
  };
}

const AS_INSERTED = Object.fromEntries(
  Object.keys(emptyRow("", "", "backup"))
    .filter((name) => !["host", "subject", "kind"].includes(name))
    .map((name) => [name, sql.raw(`excluded."${name}"`)]),
);

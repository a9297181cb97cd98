import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ForeignBindingInput, Order, RestoreRequest } from "../../../shared/assignment.ts";
import type { RunFailure } from "../../../shared/failure.ts";
import type {
  PlannedSnapshot,
  Progress,
  RestoredItem,
  RunKind,
  RunState,
  RunStats,
  Trigger,
} from "../../../shared/run.ts";
import { hosts } from "./hosts.ts";

const count = () => integer().notNull().default(0);

/** SQL: of the kinds that are not the most frequent one, and would be searched for in vain among the others. */
export const IS_NOT_BACKUP = sql.raw(`kind <> 'backup'`);

export const runs = sqliteTable(
  "runs",
  {
    id: text().primaryKey(),
    host: text().notNull(),
    /** Null for a run of a whole repository. */
    binding: text(),
    repository: text(),
    kind: text().$type<RunKind>().notNull(),
    trigger: text().$type<Trigger>().notNull(),
    state: text().$type<RunState>().notNull(),
    /** Of the newest report; 0 before the first. */
    sequence: integer().notNull().default(0),
    scheduledAt: text(),
    queuedAt: text(),
    startedAt: text(),
    finishedAt: text(),
    snapshot: text(),
    failure: text({ mode: "json" }).$type<RunFailure>(),
    warnings: text({ mode: "json" }).$type<string[]>().notNull(),
    stats: text({ mode: "json" }).$type<RunStats>(),
    plan: text({ mode: "json" }).$type<PlannedSnapshot[]>(),
    items: text({ mode: "json" }).$type<RestoredItem[]>(),
    /** Why a backup's sources were suspicious, whether or not it stored a snapshot; null: they were not. */
    suspicious: text(),
    progress: text({ mode: "json" }).$type<Progress>(),
    /** Time of the last change of progress. */
    progressAt: text(),
    /** Time of the last report, by our clock. Housekeeping uses it, because a host's clock may be wrong. */
    heardAt: text(),
    log: text().notNull().default(""),
  },
  (table) => [
    index("runs_heard").on(table.heardAt),
    index("runs_bulky").on(table.heardAt).where(sql`${table.state} in ('succeeded', 'warned', 'cancelled')
      and (length(${table.log}) > 4096 or ${table.plan} is not null or ${table.items} is not null)`),
    index("runs_host").on(table.host, table.id),
    index("runs_binding_kind").on(table.binding, table.kind, table.id),
    index("runs_repository_kind").on(table.repository, table.kind, table.id),
    index("runs_state").on(table.state, table.id),
    index("runs_not_backup").on(table.kind, table.id).where(IS_NOT_BACKUP),
  ],
);

/**
 * What the newest runs of one kind say, of a binding or of a whole repository (`subject`), as one host reported them.
 * Written in the batch that saves a report, so that nothing searches the history (docs/decisions/0066). Ids are of
 * runs, which may be gone from the history.
 */
export const newestRuns = sqliteTable(
  "newest_runs",
  {
    host: text().notNull(),
    subject: text().notNull(),
    kind: text().$type<RunKind>().notNull(),
    /** The newest run that ended well or badly: one that was cancelled decides nothing. When it started and ended. */
    decided: text(),
    state: text().$type<RunState>(),
    triedAt: text(),
    decidedAt: text(),
    /** Bad runs since the last good one, at most 100, and when the first of them ended. */
    failures: count(),
    failedSince: text(),
    /** When the newest good run ended. */
    succeededAt: text(),
    /** The newest backup that checked its sources. */
    checked: text(),
    /** The newest run that started, whatever became of it. */
    started: text(),
    startedAt: text(),
    /** The newest run that is running. */
    running: text(),
  },
  (table) => [primaryKey({ columns: [table.subject, table.kind, table.host] })],
);

/** Daily totals (UTC) of runs that are too old to be stored one by one. `""`: no binding, or no repository. */
export const runDays = sqliteTable(
  "run_days",
  {
    host: text().notNull(),
    binding: text().notNull(),
    repository: text().notNull(),
    kind: text().$type<RunKind>().notNull(),
    /** `2026-11-23` */
    day: text().notNull(),
    succeeded: count(),
    warned: count(),
    failed: count(),
    cancelled: count(),
    interrupted: count(),
    bytesAdded: count(),
  },
  (table) => [
    primaryKey({ columns: [table.binding, table.kind, table.day, table.repository, table.host] }),
    index("run_days_day").on(table.day),
  ],
);

export const orders = sqliteTable(
  "orders",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    kind: text().$type<Order["kind"]>().notNull(),
    /** The run it starts (then equal to `id`) or cancels. */
    run: text().notNull(),
    binding: text(),
    repository: text(),
    restore: text({ mode: "json" }).$type<RestoreRequest>(),
    /** The other host's binding, for a restore of its snapshots on this host. */
    from: text({ mode: "json" }).$type<ForeignBindingInput>(),
    dryRun: integer({ mode: "boolean" }).notNull().default(false),
    issuedAt: text().notNull(),
    expiresAt: text().notNull(),
    closedAt: text(),
    mac: text(),
  },
  (table) => [
    index("orders_open")
      .on(table.host, table.id)
      .where(sql`${table.closedAt} is null`),
    index("orders_expiry")
      .on(table.expiresAt)
      .where(sql`${table.closedAt} is null`),
    index("orders_run").on(table.run),
  ],
);

export const snapshots = sqliteTable(
  "snapshots",
  {
    /** Our own id, derived from `takenAt`, so that it can be a cursor. */
    id: text().primaryKey(),
    snapshot: text().notNull(),
    host: text().notNull(),
    binding: text().notNull(),
    repository: text().notNull(),
    run: text(),
    takenAt: text().notNull(),
    paths: text({ mode: "json" }).$type<string[]>().notNull(),
    bytesTotal: integer(),
  },
  (table) => [
    uniqueIndex("snapshots_binding_snapshot").on(table.binding, table.snapshot),
    index("snapshots_snapshot").on(table.snapshot),
    index("snapshots_repository").on(table.repository, table.id),
    index("snapshots_host").on(table.host, table.id),
  ],
);

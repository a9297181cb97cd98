import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { AuditEntry } from "../../shared/audit.ts";
import type { RunKind } from "../../shared/run.ts";

/* What is kept of what is gone: as in schema.ts, instants are ISO text, and no foreign key holds history back. */

const count = () => integer().notNull().default(0);

/** What the runs of one kind did on one day (UTC), once they are too old to be kept one by one. `""`: of no binding, or repository. */
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

/** Who changed what through the API: no bodies, and nothing secret. */
export const audit = sqliteTable(
  "audit",
  {
    id: text().primaryKey(),
    at: text().notNull(),
    /** Of the token, or the host. */
    by: text().notNull(),
    byName: text().notNull(),
    byKind: text().$type<AuditEntry["byKind"]>().notNull(),
    method: text().$type<AuditEntry["method"]>().notNull(),
    /** As it is written in the API's description: `/api/v1/bindings/:id/run`. */
    route: text().notNull(),
    object: text(),
    status: integer().notNull(),
  },
  (table) => [index("audit_by").on(table.by, table.id), index("audit_object").on(table.object, table.id)],
);

import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { IncidentKind, TimelineEntry } from "../../../shared/incident.ts";
import type { EventDraft } from "./notifications.ts";

export const incidents = sqliteTable(
  "incidents",
  {
    id: text().primaryKey(),
    kind: text().$type<IncidentKind>().notNull(),
    /** `KIND SUBJECT DETAIL`. At most one incident of a key is open. */
    key: text().notNull(),
    detail: text().notNull().default(""),
    host: text(),
    binding: text(),
    repository: text(),
    summary: text().notNull(),
    timeline: text({ mode: "json" }).$type<TimelineEntry[]>().notNull(),
    openedAt: text().notNull(),
    closedAt: text(),
    acknowledgedAt: text(),
    acknowledgedBy: text(),
    isFlapping: integer({ mode: "boolean" }).notNull().default(false),
    /** The event of its opening. */
    opening: text({ mode: "json" }).$type<EventDraft>(),
    /**
     * The event of its closing (sent later when it is flapping); null: closed without one, by a pause or a deletion.
     */
    closing: text({ mode: "json" }).$type<EventDraft>(),
    /** How often it opened; more than once only for a flapping one. */
    openings: integer().notNull().default(1),
    /** When a flapping incident counts as stable. */
    settleAt: text(),
    /** When reminders are checked next; null once it is closed or acknowledged. */
    remindAt: text(),
  },
  (table) => [
    uniqueIndex("incidents_open")
      .on(table.key)
      .where(sql`${table.closedAt} is null`),
    index("incidents_key").on(table.key, table.id),
    index("incidents_settle")
      .on(table.settleAt)
      .where(sql`${table.settleAt} is not null`),
    index("incidents_closed")
      .on(table.closedAt)
      .where(sql`${table.closedAt} is not null`),
    index("incidents_remind")
      .on(table.remindAt)
      .where(sql`${table.remindAt} is not null`),
    index("incidents_binding").on(table.binding, table.id),
    index("incidents_host").on(table.host, table.id),
    index("incidents_repository").on(table.repository, table.id),
  ],
);

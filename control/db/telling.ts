import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ChannelKind, ChannelTarget, QuietHours } from "../../shared/channel.ts";
import type { Event, EventType } from "../../shared/event.ts";
import type { IncidentKind, TimelineEntry } from "../../shared/incident.ts";

/* What is told, of what, and to whom: as in schema.ts, ids are UUIDv7 and instants ISO text, and no foreign key holds history back. */

/** What a notification says, before it is known to whom. */
export interface Told {
  readonly type: EventType;
  readonly data: Record<string, unknown>;
}

export const channels = sqliteTable("channels", {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  kind: text().$type<ChannelKind>().notNull(),
  /** Whole, with what is secret in it: it is needed in clear to send. */
  target: text({ mode: "json" }).$type<ChannelTarget>().notNull(),
  /** Of a webhook: `whsec_…`, needed in clear to sign. */
  secret: text(),
  /** Of a webhook whose secret was changed: the one before signs too until then. */
  previousSecret: text(),
  previousSecretUntil: text(),
  /** Which events, hosts and labels; null: all. */
  events: text({ mode: "json" }).$type<EventType[]>(),
  hosts: text({ mode: "json" }).$type<string[]>(),
  labels: text({ mode: "json" }).$type<string[]>(),
  quietHours: text({ mode: "json" }).$type<QuietHours>(),
  /** When what was held back in quiet hours is told; null when nothing is. */
  digestAt: text(),
  remindEveryDays: integer(),
  /** The host whose agent sends it; null: the control plane itself. */
  via: text(),
  enabled: integer({ mode: "boolean" }).notNull(),
  /** Attempts in a row that failed. */
  failures: integer().notNull().default(0),
  lastStatus: integer(),
  lastError: text(),
  lastDeliveredAt: text(),
  createdAt: text().notNull(),
  changedAt: text().notNull(),
});

export const deliveries = sqliteTable(
  "deliveries",
  {
    id: text().primaryKey(),
    channel: text().notNull(),
    /** That it tells of, if of one. */
    incident: text(),
    type: text().$type<EventType>().notNull(),
    payload: text({ mode: "json" }).$type<Event>().notNull(),
    /** `held`: until its channel's quiet hours are over; `digested`: told in the notice of what was held. */
    state: text().$type<"pending" | "delivered" | "failed" | "held" | "digested">().notNull().default("pending"),
    attempts: integer().notNull().default(0),
    /** Somebody wants it now: quiet hours do not hold it back. */
    isAsked: integer({ mode: "boolean" }).notNull().default(false),
    /** When it is due; null once nothing more will be tried. */
    nextAttemptAt: text(),
    /** While this is in the future, `leaseOwner` is sending it. */
    leaseUntil: text(),
    leaseOwner: text(),
    lastStatus: integer(),
    lastError: text(),
    /** Of an e-mail: who has it already, when not everybody has. */
    reached: text({ mode: "json" }).$type<string[]>(),
    createdAt: text().notNull(),
    deliveredAt: text(),
  },
  (table) => [
    index("deliveries_due")
      .on(table.nextAttemptAt)
      .where(sql`${table.nextAttemptAt} is not null`),
    index("deliveries_channel").on(table.channel, table.id),
    index("deliveries_incident")
      .on(table.incident, table.id)
      .where(sql`${table.incident} is not null`),
    index("deliveries_state").on(table.state, table.id),
  ],
);

export const incidents = sqliteTable(
  "incidents",
  {
    id: text().primaryKey(),
    kind: text().$type<IncidentKind>().notNull(),
    /** What is wrong with whom: `KIND SUBJECT DETAIL`. At most one of a key is open. */
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
    /** What was told when it opened. */
    opening: text({ mode: "json" }).$type<Told>(),
    /** What was told when it closed, or is to be told when one that flaps stays closed; null: it was paused, or is gone. */
    closing: text({ mode: "json" }).$type<Told>(),
    /** How often it opened: more than once only while it flapped. */
    openings: integer().notNull().default(1),
    /** Of one that flaps: when it has been quiet for long enough to tell how it is. */
    settleAt: text(),
    /** When reminders are looked at next; null once it is closed or acknowledged. */
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

/** When what runs by itself last did so to its end: the sweep, the outbox. */
export const vitals = sqliteTable("vitals", { name: text().primaryKey(), at: text().notNull() });

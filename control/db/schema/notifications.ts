import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { ChannelKind, ChannelTarget, QuietHours } from "../../../shared/channel.ts";
import type { Event, EventType } from "../../../shared/event.ts";

/** Set to release the lease of a delivery. */
export const NO_LEASE = { leaseUntil: null, leaseOwner: null, relayState: null } as const;

/** What a notification says, before it is known to whom. */
export interface EventDraft {
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
    /**
     * Of a delivery through a host's agent. `requested`: the host was asked to fetch it; `fetched`: its agent sends it; `missed`:
     * the host did not fetch it in time, and the next attempt waits. Null: the control plane sends, or nobody does.
     */
    relayState: text().$type<"requested" | "fetched" | "missed">(),
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
    index("deliveries_relay")
      .on(table.relayState, table.channel)
      .where(sql`${table.relayState} is not null`),
    index("deliveries_incident")
      .on(table.incident, table.id)
      .where(sql`${table.incident} is not null`),
    index("deliveries_state").on(table.state, table.id),
  ],
);

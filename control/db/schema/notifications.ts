import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { ChannelKind, QuietHours } from "../../../shared/channel.ts";
import type { Event, EventType } from "../../../shared/event.ts";

/** Set to release the lease of a delivery. */
export const NO_LEASE = { leaseUntil: null, leaseOwner: null, relayState: null } as const;

/** An event before it is enqueued for channels. */
export interface EventDraft {
  readonly type: EventType;
  readonly data: Record<string, unknown>;
}

/** A channel's target; its secret fields are in `sealed` (control/keys/channel-secrets.ts). */
export interface StoredTarget {
  readonly kind: ChannelKind;
  readonly sealed: string;
  readonly [field: string]: unknown;
}

export const channels = sqliteTable("channels", {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  kind: text().$type<ChannelKind>().notNull(),
  target: text({ mode: "json" }).$type<StoredTarget>().notNull(),
  /** Signing secret of a webhook, sealed. */
  secret: text(),
  /** The previous secret of a webhook also signs until `previousSecretUntil`. */
  previousSecret: text(),
  previousSecretUntil: text(),
  /** Filters by event type, host and label; null: all. */
  events: text({ mode: "json" }).$type<EventType[]>(),
  hosts: text({ mode: "json" }).$type<string[]>(),
  labels: text({ mode: "json" }).$type<string[]>(),
  quietHours: text({ mode: "json" }).$type<QuietHours>(),
  /** When the digest of held deliveries is due; null when nothing is held. */
  digestAt: text(),
  remindEveryDays: integer(),
  /** The host whose agent sends the deliveries; null: the control plane. */
  via: text(),
  enabled: integer({ mode: "boolean" }).notNull(),
  /** Consecutive failed attempts. */
  failures: integer().notNull().default(0),
  lastStatus: integer(),
  lastError: text(),
  lastDeliveredAt: text(),
  createdAt: text().notNull(),
  changedAt: text().notNull(),
});

/** SQL: never attempted. It is always due: the clock may have been ahead when it was written. */
export const IS_NEW = sql.raw(`"nextAttemptAt" is not null and attempts = 0 and type <> 'incident.digest'`);

export const deliveries = sqliteTable(
  "deliveries",
  {
    id: text().primaryKey(),
    channel: text().notNull(),
    /** The incident it belongs to, if any. */
    incident: text(),
    type: text().$type<EventType>().notNull(),
    payload: text({ mode: "json" }).$type<Event>().notNull(),
    /** `held`: until its channel's quiet hours end; `digested`: listed in the digest of held deliveries. */
    state: text().$type<"pending" | "delivered" | "failed" | "held" | "digested">().notNull().default("pending"),
    attempts: integer().notNull().default(0),
    /** A person requested it: it is sent even in quiet hours. */
    isAsked: integer({ mode: "boolean" }).notNull().default(false),
    /** When the next attempt is due; null when there is none. */
    nextAttemptAt: text(),
    /** The lease: until then only `leaseOwner` may send it. */
    leaseUntil: text(),
    leaseOwner: text(),
    /**
     * Of a relayed delivery. `requested`: the host was asked to fetch it. `fetched`: its agent sends it. `missed`: the
     * host did not fetch it in time, and the next attempt waits. Null: not relayed now.
     */
    relayState: text().$type<"requested" | "fetched" | "missed">(),
    lastStatus: integer(),
    lastError: text(),
    /** Recipients who have the e-mail, when not all have it. */
    reached: text({ mode: "json" }).$type<string[]>(),
    createdAt: text().notNull(),
    deliveredAt: text(),
  },
  (table) => [
    index("deliveries_due")
      .on(table.nextAttemptAt)
      .where(sql`${table.nextAttemptAt} is not null`),
    index("deliveries_new").on(table.nextAttemptAt).where(IS_NEW),
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

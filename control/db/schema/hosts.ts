import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { CLOCK_WRONG_MS } from "../../../shared/clock-skew.ts";
import type { ApprovalKind } from "../../../shared/approval.ts";
import type { DeclarationFault } from "../../../shared/declaration.ts";
import type { HostFacts, HostInstances } from "../../../shared/host.ts";
import type { RefusalCode } from "../../../shared/report.ts";

/*
 * For all tables: ids are UUIDv7, instants are ISO text with milliseconds; both sort as text. No foreign key cascades.
 * History (runs, snapshots, refusals, deliveries, incidents, audit) references objects by id without a foreign key, so
 * it stays when they are deleted.
 */

/*
 * What a sweep asks of all hosts at once. Each is the condition of a partial index, word for word, so that the answer
 * is in the index and no host is read for it.
 */

/** SQL: the host is expected to be heard from: it is not revoked, not known as offline, and monitored. */
export const IS_WATCHED = sql.raw(`"revokedAt" is null and "offlineAt" is null and "offlineAfterSeconds" is not null`);
/** SQL: it was offline and is there again, or is not monitored any more. */
export const IS_BACK = sql.raw(`"offlineAt" is not null and "revokedAt" is null
  and ("connectionId" is not null or "lastSeenAt" > "offlineAt" or "offlineAfterSeconds" is null)`);
/** SQL: its clock is wrong, by CLOCK_WRONG_MS. */
export const HAS_WRONG_CLOCK = sql.raw(`"revokedAt" is null and abs("clockSkewMs") > ${CLOCK_WRONG_MS}`);

export const hosts = sqliteTable(
  "hosts",
  {
    id: text().primaryKey(),
    name: text().notNull().unique(),
    /** Raw Ed25519 public key, base64url: the host's identity. */
    publicKey: text().notNull().unique(),
    /** The control plane's origin at enrolment: `aud` of the host's JWTs, even when the origin changes later. */
    audience: text().notNull(),
    /** The enrolment it used, which may be deleted already. */
    enrollment: text().notNull(),
    facts: text({ mode: "json" }).$type<HostFacts>(),
    declarationFaults: text({ mode: "json" }).$type<DeclarationFault[]>().notNull().default([]),
    revision: integer().notNull().default(0),
    /** Grows with every accepted POST of reports; for compare-and-set. */
    reportCount: integer().notNull().default(0),
    /** Of the open socket; null when there is none. */
    connectionId: text(),
    connectedAt: text(),
    lastSeenAt: text(),
    labels: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /** Silence after which it counts as offline; null: not monitored. */
    offlineAfterSeconds: integer().default(900),
    /** Since when its host.offline is open, so that a sweep need not look at it again; null: it is not offline. */
    offlineAt: text(),
    /** When it has been silent for too long, in seconds since 1970; SQLite computes it. */
    silentAt: integer().generatedAlwaysAs(
      sql.raw(`unixepoch(coalesce("lastSeenAt", "createdAt")) + "offlineAfterSeconds"`),
    ),
    /** How far its clock is ahead of the control plane's, in milliseconds, as last measured. */
    clockSkewMs: integer(),
    /** What it reported since `reportedSince`, in bytes; for its quota. */
    reportedBytes: integer().notNull().default(0),
    reportedSince: text(),
    /** Which processes of its agent use its key; null: none said so yet. */
    instances: text({ mode: "json" }).$type<HostInstances>(),
    revokedAt: text(),
    createdAt: text().notNull(),
    /** Message authentication code over what gives rights here, with a key outside the database. */
    mac: text(),
  },
  (table) => [
    index("hosts_silent").on(table.silentAt).where(IS_WATCHED),
    index("hosts_seen").on(table.lastSeenAt).where(IS_WATCHED),
    index("hosts_back").on(table.id).where(IS_BACK),
    index("hosts_clock").on(table.id).where(HAS_WRONG_CLOCK),
  ],
);

export const enrollments = sqliteTable(
  "enrollments",
  {
    id: text().primaryKey(),
    name: text(),
    /** Hex SHA-256 of the token's secret part. */
    hash: text().notNull().unique(),
    uses: integer().notNull(),
    usesLeft: integer().notNull(),
    /** Names of the repositories whose place the installation grants on the host. */
    repositories: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /** The host whose key the enrolled machine's becomes; null: a new host. */
    replaces: text(),
    expiresAt: text().notNull(),
    createdAt: text().notNull(),
    mac: text(),
  },
  (table) => [index("enrollments_expiry").on(table.expiresAt)],
);

export const refusals = sqliteTable(
  "refusals",
  {
    id: text().primaryKey(),
    host: text().notNull(),
    at: text().notNull(),
    code: text().$type<RefusalCode>().notNull(),
    subject: text().notNull(),
    message: text().notNull(),
  },
  (table) => [index("refusals_host").on(table.host, table.id)],
);

/** What waits for root on a host, as its agent last reported. */
export const approvals = sqliteTable(
  "approvals",
  {
    /** Derived from `since`, so that it can be a cursor. */
    id: text().primaryKey(),
    host: text().notNull(),
    key: text().notNull(),
    kind: text().$type<ApprovalKind>().notNull(),
    summary: text().notNull(),
    bindings: text({ mode: "json" }).$type<string[]>().notNull(),
    since: text().notNull(),
  },
  (table) => [
    uniqueIndex("approvals_host_key").on(table.host, table.key),
    index("approvals_host").on(table.host, table.id),
  ],
);

/** JWTs of hosts that were used, until they expire: none is accepted twice. */
export const usedJwts = sqliteTable(
  "used_jwts",
  { host: text().notNull(), jti: text().notNull(), expiresAt: text().notNull() },
  (table) => [primaryKey({ columns: [table.host, table.jti] }), index("used_jwts_expiry").on(table.expiresAt)],
);

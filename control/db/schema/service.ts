import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Scope } from "../../../shared/api.ts";
import type { AuditEntry } from "../../../shared/audit.ts";

export const tokens = sqliteTable(
  "tokens",
  {
    id: text().primaryKey(),
    name: text().notNull().unique(),
    scope: text().$type<Scope>().notNull(),
    /** Hex SHA-256 of the token, which is stored nowhere. */
    hash: text().notNull().unique(),
    expiresAt: text(),
    lastUsedAt: text(),
    createdAt: text().notNull(),
    mac: text(),
  },
  (table) => [
    index("tokens_expiry")
      .on(table.expiresAt)
      .where(sql`${table.expiresAt} is not null`),
  ],
);

/** Who changed what through the API; no bodies, no secrets. */
export const audit = sqliteTable(
  "audit",
  {
    id: text().primaryKey(),
    at: text().notNull(),
    /** Id of the token or host. */
    by: text().notNull(),
    byName: text().notNull(),
    byKind: text().$type<AuditEntry["byKind"]>().notNull(),
    method: text().$type<AuditEntry["method"]>().notNull(),
    /** The route's pattern, such as `/api/v1/bindings/:id/run`. */
    route: text().notNull(),
    object: text(),
    status: integer().notNull(),
    /** The address the request came from; null: not known. */
    address: text(),
    /** What was changed, before and after it, without secrets. */
    before: text({ mode: "json" }).$type<Record<string, unknown>>(),
    after: text({ mode: "json" }).$type<Record<string, unknown>>(),
    /** Its number in the chain, from 1; null: written before there was one. */
    sequence: integer().unique(),
    /** Hex SHA-256 over the hash of the entry before it, and this entry. */
    hash: text(),
  },
  (table) => [index("audit_by").on(table.by, table.id), index("audit_object").on(table.object, table.id)],
);

/** Signed hashes of the audit's chain: where it was trimmed, and where it began again. */
export const auditCheckpoints = sqliteTable("audit_checkpoints", {
  sequence: integer().primaryKey(),
  hash: text().notNull(),
  reason: text().$type<"trimmed" | "restored">().notNull(),
  at: text().notNull(),
  /** A JWS by the control plane's signing key over all of it. */
  jws: text().notNull(),
});

/**
 * Facts about the database as a whole, each with a MAC by the key outside it: `rows` (since when rows carry MACs) and
 * `audit` (the newest entry of the audit's chain).
 */
export const marks = sqliteTable("marks", {
  name: text().$type<"rows" | "audit">().primaryKey(),
  value: text({ mode: "json" }).$type<Record<string, string | number>>().notNull(),
  mac: text().notNull(),
});

/** When each background task (sweep, outbox, heartbeat) last completed. */
export const vitals = sqliteTable("vitals", {
  name: text().primaryKey(),
  at: text().notNull(),
  /** Of a task that goes through a table in turns: where the next turn begins; "": from the start. */
  next: text(),
});

/** How many rows a host has in a table, counted up to an id: what came later is added in the host's next turn. */
export const rowCounts = sqliteTable(
  "row_counts",
  {
    host: text().notNull(),
    of: text().$type<"runs" | "refusals">().notNull(),
    rows: integer().notNull(),
    upTo: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.of] })],
);

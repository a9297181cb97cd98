import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { DeclarationFault } from "../../../shared/declaration.ts";
import type { HostFacts } from "../../../shared/host.ts";
import type { RefusalCode } from "../../../shared/report.ts";

/*
 * Of all tables in this folder: ids are UUIDv7 and instants ISO text with milliseconds, both sort as text. No foreign key cascades.
 * History (runs, snapshots, refusals, deliveries, incidents, the audit) names what it is about by id alone, without a foreign key, so
 * that it outlives it.
 */

export const hosts = sqliteTable("hosts", {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  /** Raw Ed25519, base64url: the host's identity. */
  publicKey: text().notNull().unique(),
  /** The origin it enrolled at, `aud` of its JWTs from then on: the control plane's address may change later. */
  audience: text().notNull(),
  /** The enrolment it came by; an enrolment may be gone before its host. */
  enrollment: text().notNull(),
  facts: text({ mode: "json" }).$type<HostFacts>(),
  declarationFaults: text({ mode: "json" }).$type<DeclarationFault[]>().notNull().default([]),
  revision: integer().notNull().default(0),
  /** Grows with every accepted POST of reports: the compare-and-set of two at once. */
  reportCount: integer().notNull().default(0),
  /** Of the socket that is open now; null when none is. */
  connectionId: text(),
  connectedAt: text(),
  lastSeenAt: text(),
  labels: text({ mode: "json" }).$type<string[]>().notNull().default([]),
  /** How long it may be silent before somebody is told; null: as long as it likes. */
  offlineAfterSeconds: integer().default(900),
  /** Milliseconds its clock is ahead of the control plane's, as last measured. */
  clockSkewMs: integer(),
  revokedAt: text(),
  createdAt: text().notNull(),
});

export const enrollments = sqliteTable(
  "enrollments",
  {
    id: text().primaryKey(),
    name: text(),
    /** Hex SHA-256 of the token's secret part. */
    hash: text().notNull().unique(),
    uses: integer().notNull(),
    usesLeft: integer().notNull(),
    expiresAt: text().notNull(),
    createdAt: text().notNull(),
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

import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { Settings } from "../../../shared/binding.ts";
import type { Detection } from "../../../shared/catalog.ts";
import type { Consistency } from "../../../shared/consistency.ts";
import type { ContractRequest, DatabaseRequest } from "../../../shared/contract.ts";
import { Maintenance, type ProviderName, type Repository } from "../../../shared/repository.ts";
import { hosts } from "./hosts.ts";

const DEFAULT_MAINTENANCE = Maintenance.parse({});

/**
 * Of a database's contract with its `restoreUser`, unless that is null: so the row's MAC covers it, and older rows stay
 * as they are.
 */
type StoredRequest = ContractRequest | (DatabaseRequest & { readonly restoreUser?: string });

export const contracts = sqliteTable(
  "contracts",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    name: text().notNull(),
    kind: text().$type<"files" | "databasebackup">().notNull(),
    request: text({ mode: "json" }).$type<StoredRequest>().notNull(),
    /** These three are only used by contracts of kind files. */
    consistency: text({ mode: "json" }).$type<Consistency[]>().notNull().default([]),
    mountPoints: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    stopForRestore: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /**
     * Declared by a file on the host: read-only. `undeclaredAt`: since when that file is gone, while the row is still
     * used.
     */
    declared: integer({ mode: "boolean" }).notNull().default(false),
    undeclaredAt: text(),
    createdAt: text().notNull(),
    changedAt: text().notNull(),
    mac: text(),
  },
  (table) => [uniqueIndex("contracts_host_name").on(table.host, table.name)],
);

export const repositories = sqliteTable("repositories", {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  provider: text().$type<ProviderName>().notNull(),
  location: text().notNull(),
  passphrase: text({ mode: "json" }).$type<Repository["passphrase"]>().notNull(),
  secrets: text({ mode: "json" }).$type<Repository["secrets"]>().notNull(),
  ssh: text({ mode: "json" }).$type<Repository["ssh"]>().notNull().default({ identityFile: null, hostKey: null }),
  caFile: text(),
  appendOnly: integer({ mode: "boolean" }).notNull().default(false),
  maintenance: text({ mode: "json" }).$type<Repository["maintenance"]>().notNull().default(DEFAULT_MAINTENANCE),
  /** The host that prunes and checks it; null: the host of its first binding. */
  maintainer: text().references(() => hosts.id),
  declared: integer({ mode: "boolean" }).notNull().default(false),
  undeclaredAt: text(),
  existing: integer({ mode: "boolean" }).notNull(),
  /** The engine's own id of the repository; never replaced once known. */
  engineId: text(),
  /** The only host that can use it (local path, or passphrase generated there): the host of its first binding. */
  host: text().references(() => hosts.id),
  createdAt: text().notNull(),
  changedAt: text().notNull(),
  mac: text(),
});

export const bindings = sqliteTable(
  "bindings",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    name: text().notNull(),
    contract: text()
      .notNull()
      .references(() => contracts.id),
    repository: text()
      .notNull()
      .references(() => repositories.id),
    settings: text({ mode: "json" }).$type<Settings>().notNull(),
    paused: integer({ mode: "boolean" }).notNull().default(false),
    declared: integer({ mode: "boolean" }).notNull().default(false),
    undeclaredAt: text(),
    /** The newest run whose list of snapshots was saved; lists of older runs are ignored. */
    listedBy: text(),
    /** Of that list, to see what a newer one changes; null: not known. */
    listChecksum: text(),
    labels: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /** When the newest good backup started, by its host's clock, but at most the next scheduled time. */
    goodAt: text(),
    /** No backup is expected for times before this: the schedule was changed or resumed then. null: `createdAt`. */
    expectedSince: text(),
    /**
     * When to check whether it is late. Every write that lateness depends on sets it to now. Null when no backup is
     * expected.
     */
    alertAt: text(),
    createdAt: text().notNull(),
    changedAt: text().notNull(),
    mac: text(),
  },
  (table) => [
    index("bindings_alert")
      .on(table.alertAt)
      .where(sql`${table.alertAt} is not null`),
    uniqueIndex("bindings_host_name").on(table.host, table.name),
    uniqueIndex("bindings_contract_repository").on(table.contract, table.repository),
    index("bindings_repository").on(table.repository),
  ],
);

/** Services of the catalogue that agents detected on their hosts. */
export const detections = sqliteTable(
  "detections",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    entry: text().notNull(),
    layout: text().$type<Detection["layout"]>().notNull(),
    /** "" when it is not a container. */
    container: text().notNull(),
    params: text({ mode: "json" }).$type<Detection["params"]>().notNull(),
    evidence: text({ mode: "json" }).$type<string[]>().notNull(),
    /** Set when the proposal was dismissed. */
    dismissedAt: text(),
    /** The contract it was accepted as. When that is deleted, it is proposed again. */
    contract: text(),
    createdAt: text().notNull(),
  },
  (table) => [uniqueIndex("detections_what").on(table.host, table.entry, table.layout, table.container)],
);

import { sql } from "drizzle-orm";
import { check, index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { Scope } from "../../shared/api.ts";
import type { ForeignBinding, Order, RestoreRequest } from "../../shared/assignment.ts";
import type { Settings } from "../../shared/binding.ts";
import type { Detection } from "../../shared/catalog.ts";
import type { Consistency } from "../../shared/consistency.ts";
import type { ContractRequest, DatabaseRequest } from "../../shared/contract.ts";
import type { DeclarationFault } from "../../shared/declaration.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { HostFacts } from "../../shared/host.ts";
import type { RefusalCode } from "../../shared/report.ts";
import { Maintenance, type ProviderName, type Repository } from "../../shared/repository.ts";
import type {
  PlannedSnapshot,
  Progress,
  RestoredItem,
  RunKind,
  RunState,
  RunStats,
  Trigger,
} from "../../shared/run.ts";

const DEFAULT_MAINTENANCE = Maintenance.parse({});

/*
 * Ids are UUIDv7 and instants ISO text with milliseconds: both sort as text. No foreign key cascades. History (runs, snapshots,
 * refusals, deliveries) names what it is about by id alone, without a foreign key, so that it outlives it.
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

export const contracts = sqliteTable(
  "contracts",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    name: text().notNull(),
    kind: text().$type<"files" | "databasebackup">().notNull(),
    request: text({ mode: "json" }).$type<ContractRequest | DatabaseRequest>().notNull(),
    /** These three are of contracts of files only. */
    consistency: text({ mode: "json" }).$type<Consistency[]>().notNull().default([]),
    mountPoints: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    stopForRestore: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /** By a file on the host: read-only here. When such a file goes and this has to stay, it is declared no more, since `undeclaredAt`. */
    declared: integer({ mode: "boolean" }).notNull().default(false),
    undeclaredAt: text(),
    createdAt: text().notNull(),
    changedAt: text().notNull(),
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
  /** The host that prunes and checks it; null: the first that bound it. */
  maintainer: text().references(() => hosts.id),
  declared: integer({ mode: "boolean" }).notNull().default(false),
  undeclaredAt: text(),
  existing: integer({ mode: "boolean" }).notNull(),
  /** The provider's own id; once known it is never replaced. */
  engineId: text(),
  /** The only host that can use it (a local path, a passphrase generated there): the first that bound it. */
  host: text().references(() => hosts.id),
  createdAt: text().notNull(),
  changedAt: text().notNull(),
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
    /** The newest run whose list of snapshots was taken: the list of an older one, come late, is not. */
    listedBy: text(),
    labels: text({ mode: "json" }).$type<string[]>().notNull().default([]),
    /** When the newest good backup began: by its host's clock, but never later than it was heard of. */
    goodAt: text(),
    /** No backup is expected for a time of the schedule before this: it was resumed then, or got another schedule; null: it was made. */
    expectedSince: text(),
    /**
     * When it is late unless a good backup comes before, or has to be worked out again: whoever changes what it depends on sets it to
     * now. Null when none is expected.
     */
    alertAt: text(),
    createdAt: text().notNull(),
    changedAt: text().notNull(),
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

export const runs = sqliteTable(
  "runs",
  {
    id: text().primaryKey(),
    host: text().notNull(),
    /** Null for what is done to a repository as a whole. */
    binding: text(),
    repository: text(),
    kind: text().$type<RunKind>().notNull(),
    trigger: text().$type<Trigger>().notNull(),
    state: text().$type<RunState>().notNull(),
    /** Of the newest report taken; 0 before the host said anything of it. */
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
    /** Of a backup: why its sources looked wrong, whether or not something was stored. */
    suspicious: text(),
    progress: text({ mode: "json" }).$type<Progress>(),
    /** When it last got on. */
    progressAt: text(),
    /** When something was last heard of it here: what is old goes by this, since a host's clock may be wrong. */
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
    /** The run it starts (then the same as its id) or cancels. */
    run: text().notNull(),
    binding: text(),
    repository: text(),
    restore: text({ mode: "json" }).$type<RestoreRequest>(),
    /** Another host's binding that is restored on this one. */
    from: text({ mode: "json" }).$type<ForeignBinding>(),
    dryRun: integer({ mode: "boolean" }).notNull().default(false),
    issuedAt: text().notNull(),
    expiresAt: text().notNull(),
    closedAt: text(),
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
    /** Ours, made of `takenAt`, so that it sorts by it: a cursor. */
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

export const tokens = sqliteTable(
  "tokens",
  {
    id: text().primaryKey(),
    name: text().notNull().unique(),
    scope: text().$type<Scope>().notNull(),
    /** Hex SHA-256 of the token: itself it is kept nowhere. */
    hash: text().notNull().unique(),
    expiresAt: text(),
    lastUsedAt: text(),
    createdAt: text().notNull(),
  },
  (table) => [
    index("tokens_expiry")
      .on(table.expiresAt)
      .where(sql`${table.expiresAt} is not null`),
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

/** What an agent found on its host that the catalogue knows how to keep. */
export const detections = sqliteTable(
  "detections",
  {
    id: text().primaryKey(),
    host: text()
      .notNull()
      .references(() => hosts.id),
    entry: text().notNull(),
    layout: text().$type<Detection["layout"]>().notNull(),
    /** "" when it was not found as a container. */
    container: text().notNull(),
    params: text({ mode: "json" }).$type<Detection["params"]>().notNull(),
    evidence: text({ mode: "json" }).$type<string[]>().notNull(),
    /** Not to be proposed any more. */
    dismissedAt: text(),
    /** What it was accepted as; that contract may be gone, and then it is proposed again. */
    contract: text(),
    createdAt: text().notNull(),
  },
  (table) => [uniqueIndex("detections_what").on(table.host, table.entry, table.layout, table.container)],
);

/** Always empty. A row that breaks its check rolls the whole batch back: see `guard` in transaction.ts. */
export const guards = sqliteTable("guards", { holds: integer().notNull() }, (table) => [
  check("guard_holds", sql`${table.holds} = 1`),
]);

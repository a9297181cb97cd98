import { base64url } from "jose";
import { and, eq, sql, type SQL } from "drizzle-orm";
import { Failure } from "../../shared/failure.ts";
import type { Id } from "../../shared/ids.ts";
import { canonicalJson } from "../../shared/json.ts";
import { bindings, contracts, repositories } from "../db/schema/contracts.ts";
import { enrollments, hosts } from "../db/schema/hosts.ts";
import { orders } from "../db/schema/runs.ts";
import { tokens } from "../db/schema/service.ts";
import { guard, type Statement } from "../db/transaction.ts";
import type { Deps, SigningKey } from "../deps.ts";
import { derivedKey } from "./derived-keys.ts";

/*
 * A row that gives rights or leads to a signature carries a MAC, so that who can write the database file gets neither
 * (decision 42). Every write that changes a covered column makes a new MAC from the verified old row; every use
 * verifies it.
 */

export const MAC_TABLES = { tokens, enrollments, hosts, contracts, repositories, bindings, orders } as const;
export type MacTable = keyof typeof MAC_TABLES;

/** The columns that each table's MAC covers. What is left out is state that gives no right (see the test). */
export const COVERED = {
  tokens: ["id", "name", "scope", "hash", "expiresAt", "createdAt"],
  enrollments: ["id", "name", "hash", "uses", "usesLeft", "repositories", "replaces", "expiresAt", "createdAt"],
  hosts: ["id", "name", "publicKey", "audience", "enrollment", "revokedAt", "createdAt"],
  contracts: [
    "id",
    "host",
    "name",
    "kind",
    "request",
    "consistency",
    "mountPoints",
    "stopForRestore",
    "declared",
    "createdAt",
  ],
  repositories: [
    "id",
    "name",
    "provider",
    "location",
    "passphrase",
    "secrets",
    "ssh",
    "caFile",
    "appendOnly",
    "maintenance",
    "maintainer",
    "declared",
    "existing",
    "engineId",
    "host",
    "createdAt",
  ],
  bindings: ["id", "host", "name", "contract", "repository", "settings", "paused", "declared", "createdAt"],
  orders: ["id", "host", "kind", "run", "binding", "repository", "restore", "from", "dryRun", "issuedAt", "expiresAt"],
} as const satisfies { [Name in MacTable]: readonly (keyof (typeof MAC_TABLES)[Name]["$inferSelect"])[] };

type Row<Name extends MacTable> = (typeof MAC_TABLES)[Name]["$inferSelect"];
/** The columns of a row that its MAC covers. */
export type CoveredRow<Name extends MacTable> = Pick<Row<Name>, (typeof COVERED)[Name][number] & keyof Row<Name>>;
export type StoredRow<Name extends MacTable> = CoveredRow<Name> & { readonly id: Id; readonly mac: string | null };

type MacDeps = Pick<Deps, "signingKey">;

/** Comes first in every MAC. A later version covers other columns. */
const VERSION = "1";

/** @returns the MAC of a row with these values */
export async function macOf<Name extends MacTable>(
  { signingKey }: MacDeps,
  table: Name,
  row: CoveredRow<Name>,
): Promise<string> {
  return macOfText(signingKey, coveredText(table, row));
}

/** @returns the row with its MAC, for an insert */
export async function withMac<Name extends MacTable, R extends CoveredRow<Name>>(
  deps: MacDeps,
  table: Name,
  row: R,
): Promise<R & { mac: string }> {
  return { ...row, mac: await macOf(deps, table, row) };
}

/** Whether this control plane wrote the row as it is. */
export async function isGenuine<Name extends MacTable>(
  { signingKey }: MacDeps,
  table: Name,
  row: StoredRow<Name>,
): Promise<boolean> {
  return row.mac !== null && (await isMacOfText(signingKey, row.mac, coveredText(table, row)));
}

/** Logs and throws `database.tampered` unless this control plane wrote the row as it is. */
export async function requireGenuine<Name extends MacTable>(
  deps: Pick<Deps, "signingKey" | "log">,
  table: Name,
  row: StoredRow<Name>,
): Promise<void> {
  if (await isGenuine(deps, table, row)) return;
  logTampered(deps, table, row.id);
  throw new Failure("database.tampered", tamperedMessage(table, row.id));
}

/** @returns the rows that this control plane wrote; each other one is logged */
export async function onlyGenuine<Name extends MacTable, R extends StoredRow<Name>>(
  deps: Pick<Deps, "signingKey" | "log">,
  table: Name,
  rows: readonly R[],
): Promise<R[]> {
  const checked = await Promise.all(rows.map(async (row) => ({ row, isOurs: await isGenuine(deps, table, row) })));
  for (const { row, isOurs } of checked) if (!isOurs) logTampered(deps, table, row.id);
  return checked.flatMap(({ row, isOurs }) => (isOurs ? [row] : []));
}

/**
 * The change to write, with the new MAC. Throws `database.tampered` for a row that somebody else changed: a new MAC
 * would make that change ours.
 */
export async function changeWithMac<Name extends MacTable, Change extends Partial<Row<Name>>>(
  deps: Pick<Deps, "signingKey" | "log">,
  table: Name,
  old: StoredRow<Name>,
  change: Change,
): Promise<Change & { mac: string }> {
  await requireGenuine(deps, table, old);
  return { ...change, mac: await macOf(deps, table, { ...old, ...change }) };
}

/** SQL: the row's covered columns are still as they were read. */
export function isAsRead(table: MacTable, { id, mac }: { id: Id; mac: string | null }): SQL {
  const columns = MAC_TABLES[table];
  return sql`${and(eq(columns.id, id), sql`${columns.mac} is ${mac}`)}`;
}

/** Rolls the batch back unless the row's covered columns are still as they were read. */
export function guardAsRead({ db }: Pick<Deps, "db">, table: MacTable, row: { id: Id; mac: string | null }): Statement {
  return guard(db, sql`exists (select 1 from ${MAC_TABLES[table]} where ${isAsRead(table, row)})`);
}

export function tamperedMessage(table: string, id: string): string {
  return (
    `row ${id} of the table ${table} was not written by this control plane, so it is not used: ` +
    "find out who wrote into the database, then delete the object or accept the row with `holdfast rows --accept`"
  );
}

function logTampered({ log }: Pick<Deps, "log">, table: MacTable, id: string): void {
  log.error("a row was changed outside this control plane and is not used", { table, id });
}

/** @returns the MAC of a text that says what it is */
export async function macOfText(signingKey: SigningKey, text: string): Promise<string> {
  const key = await derivedKey(signingKey, "rows");
  const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
  return `${VERSION}.${base64url.encode(new Uint8Array(mac))}`;
}

export async function isMacOfText(signingKey: SigningKey, mac: string, text: string): Promise<boolean> {
  const [version, coded = ""] = mac.split(".");
  if (version !== VERSION || !/^[A-Za-z0-9_-]{43}$/.test(coded)) return false;
  const key = await derivedKey(signingKey, "rows");
  return crypto.subtle.verify("HMAC", key, new Uint8Array(base64url.decode(coded)), new TextEncoder().encode(text));
}

function coveredText<Name extends MacTable>(table: Name, row: CoveredRow<Name>): string {
  const values: Record<string, unknown> = { ...row };
  const covered = COVERED[table].map((column) => values[column] ?? null);
  // The database stores text as UTF-8, which has no lone surrogates.
  return canonicalJson([table, covered.map((value) => (typeof value === "string" ? value.toWellFormed() : value))]);
}

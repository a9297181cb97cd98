import { type SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { instant, uuidv7, type Id, type Instant } from "../../../shared/ids.ts";
import { refusals, usedJwts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { deliveries } from "../../db/schema/notifications.ts";
import { orders, runDays, runs } from "../../db/schema/runs.ts";
import { audit, tokens, vitals } from "../../db/schema/service.ts";
import { type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { checkpointStatements } from "./audit-chain.ts";
import { isNeeded, truncateDetails } from "../runs/history.ts";
import { type Recorded, recordVitals } from "../vitals.ts";
import {
  IS_OVER,
  isTurnDue,
  MAX_ROWS_OF_HOST,
  removeRefusals,
  removeRuns,
  takeHostTurn,
  turnOfHost,
  turnQueries,
} from "./row-counts.ts";

/** Days that rows are kept. */
export const RETENTION_DAYS = {
  runs: 400,
  /** Long logs, plans and lists of files of runs that did not fail. */
  details: 30,
  runDays: 5 * 366,
  delivered: 90,
  undelivered: 400,
  incidents: 400,
  refusals: 400,
  orders: 30,
  /** Since they expired. */
  tokens: 90,
  audit: 400,
} as const;

/** Rows that are kept at most, whatever their age. */
export const MAX_ROWS = {
  runsOfHost: MAX_ROWS_OF_HOST.runs,
  refusalsOfHost: MAX_ROWS_OF_HOST.refusals,
  audit: 100_000,
} as const;

/** Rows per table and sweep: keeps write locks short. */
export const BATCH_SIZE = 500;
/** Of used JWTs, which are short, and one for every request of a host. */
const JWTS_PER_SWEEP = 20_000;

const DAY_MS = 86_400_000;

/** What a sweep reads to know whether anything is to be removed: the columns of one row. */
export interface Housekeeping {
  readonly hasExpired: number;
  /** Whether runs are old enough, and where the walk through them is. */
  readonly hasOldRuns: number;
  readonly walkedAt: Instant | null;
  readonly walkNext: string | null;
  readonly turnHost: Id | null;
  readonly isTurnDue: number;
}

/** SQL: the columns of `Housekeeping`, for a select that begins with `turnOfHost`. */
export function housekeepingColumns(now: number): SQL {
  const any = [bulkyRuns(now), ...expiryRules(now).map(({ expired }) => expired), oldAudit(now), excessAudit()];
  const hasExpired = sql.join(
    any.map((query) => sql`exists (${query})`),
    sql` or `,
  );
  return sql`(${hasExpired}) as "hasExpired", exists (select 1 from ${runs} where ${isOldRun(now)}) as "hasOldRuns",
    (select at from ${vitals} where name = 'runs') as "walkedAt", (select next from ${vitals} where name = 'runs') as "walkNext",
    (select host from turn) as "turnHost", ${isTurnDue} as "isTurnDue"`;
}

/** Reads what is due, removes it and records the turns. */
export async function removeExpired(deps: Pick<Deps, "db" | "clock" | "signingKey">): Promise<void> {
  const query = sql`with ${turnOfHost} select ${housekeepingColumns(deps.clock.now())}`;
  const found = await deps.db.get<Housekeeping>(query);
  await recordVitals(deps, await removeDue(deps, found));
}

/**
 * Deletes rows over their age or count limit, one batch per table and sweep. Safe concurrently, and to interrupt
 * anywhere.
 * @returns where the next turns begin
 */
export async function removeDue(
  deps: Pick<Deps, "db" | "clock" | "signingKey">,
  found: Housekeeping,
): Promise<Recorded[]> {
  if (found.hasExpired) await removeByAge(deps);
  const recorded: Recorded[] = [];
  if (found.hasOldRuns && isWalkDue(found, deps.clock.now()))
    recorded.push({ name: "runs", next: await walkOldRuns(deps, found.walkNext ?? "") });
  if (found.turnHost !== null) {
    const hasMore = found.isTurnDue ? await takeHostTurn(deps, found.turnHost) : false;
    if (!hasMore) recorded.push({ name: "counts", next: found.turnHost });
  }
  return recorded;
}

async function removeByAge(deps: Pick<Deps, "db" | "clock" | "signingKey">): Promise<void> {
  const { db, clock } = deps;
  const now = clock.now();
  const rules = expiryRules(now);
  const [bulky, ...found] = await db.batch([
    db.all<{ id: Id }>(bulkyRuns(now)),
    ...rules.map(({ expired }) => db.all<{ id: Id }>(expired)),
  ]);
  // The delete repeats the query: a delivery that was retried meanwhile stays.
  const pending = rules.filter((_, index) => (found[index] ?? []).length > 0);
  await writeAll(db, [
    ...truncateDetails(
      db,
      bulky.map(({ id }) => id),
    ),
    ...pending.flatMap(({ table, key, expired }) =>
      table === refusals
        ? removeRefusals(db, expired)
        : [db.run(sql`delete from ${table} where ${sql.raw(key)} in (${expired})`)],
    ),
    ...(await trimAudit(deps, now)),
  ]);
}

/** Runs that are still needed stay, and would be read again at every sweep: so they are walked through once a day. */
const WALK_EVERY_MS = DAY_MS;

function isWalkDue({ walkedAt, walkNext }: Housekeeping, now: number): boolean {
  if (walkedAt === null || (walkNext ?? "") !== "") return true;
  return Math.abs(now - Date.parse(walkedAt)) >= WALK_EVERY_MS;
}

/**
 * Removes the next old runs.
 * @param from `HEARD_AT ROWID` of the last one; "": begins with the oldest
 * @returns the same, for the next turn
 */
async function walkOldRuns({ db, clock }: Pick<Deps, "db" | "clock">, from: string): Promise<string> {
  const rows = await db.all<{ id: Id; row: number; heardAt: Instant; isGone: number }>(oldRuns(clock.now(), from));
  await writeAll(
    db,
    removeRuns(
      db,
      rows.filter(({ isGone }) => isGone).map(({ id }) => id),
    ),
  );
  const last = rows.length < BATCH_SIZE ? undefined : rows.at(-1);
  return last === undefined ? "" : `${last.heardAt} ${last.row}`;
}

/** Removes the oldest entries of the audit, with a signed checkpoint that says up to which. */
async function trimAudit(deps: Pick<Deps, "db" | "clock" | "signingKey">, now: number): Promise<Statement[]> {
  const { db } = deps;
  const expired = await db.all<{ id: Id; sequence: number | null; hash: string | null }>(expiredAudit(now));
  const newest = expired.at(-1);
  if (newest === undefined) return [];
  const numbered = expired.flatMap(({ sequence, hash }) => (sequence === null ? [] : [{ sequence, hash: hash ?? "" }]));
  const head = numbered.at(-1) ?? null;
  return [
    // By number, so that the chain has no gap; by id only those that never had one.
    db.run(sql`delete from ${audit} where sequence is null and id <= ${newest.id}`),
    ...(head === null ? [] : [db.run(sql`delete from ${audit} where sequence <= ${head.sequence}`)]),
    ...(head === null ? [] : await checkpointStatements(deps, head, "trimmed")),
  ];
}

function oldAudit(now: number): SQL {
  const before = uuidv7(now - RETENTION_DAYS.audit * DAY_MS, new Uint8Array(10));
  return sql`select id from ${audit} where id < ${before} order by id limit ${BATCH_SIZE}`;
}

/** By number, because entries have them without a gap. Those from before there were numbers only expire by age. */
function excessAudit(): SQL {
  const newest = sql`(select max(sequence) from ${audit})`;
  return sql`select id from ${audit} where sequence <= ${newest} - ${MAX_ROWS.audit} order by sequence limit ${BATCH_SIZE}`;
}

function expiredAudit(now: number): SQL {
  const ids = sql`select id from (${oldAudit(now)}) union select id from (${excessAudit()})`;
  return sql`select id, sequence, hash from ${audit} where id in (${ids}) order by id`;
}

/** All queries that find expired rows; a test checks their plans. */
export function expiryQueries(now: number): SQL[] {
  const simple = expiryRules(now).map(({ expired }) => expired);
  const turn = sql`with ${turnOfHost} select ${housekeepingColumns(now)}`;
  const walk = [oldRuns(now, ""), oldRuns(now, `${instant(now)} 1`)];
  return [...walk, bulkyRuns(now), ...turnQueries(""), expiredAudit(now), ...simple, turn];
}

/** A table whose rows expire by age or count: `expired` selects their keys. */
interface ExpiryRule {
  readonly table: SQLiteTable;
  readonly key: "id" | "rowid";
  readonly expired: SQL;
}

function expiryRules(now: number): ExpiryRule[] {
  const before = (days: number) => instant(now - days * DAY_MS);
  const idBefore = (days: number) => uuidv7(now - days * DAY_MS, new Uint8Array(10));
  const delivery = (state: string, days: number) => ({
    table: deliveries,
    expired: sql`select id from ${deliveries} where state = ${state} and id < ${idBefore(days)} order by id limit ${BATCH_SIZE}`,
  });
  const rules = [
    delivery("delivered", RETENTION_DAYS.delivered),
    delivery("digested", RETENTION_DAYS.delivered),
    delivery("failed", RETENTION_DAYS.undelivered),
    delivery("held", RETENTION_DAYS.undelivered),
    {
      table: incidents,
      expired: sql`select id from ${incidents} where "closedAt" < ${before(RETENTION_DAYS.incidents)} limit ${BATCH_SIZE}`,
    },
    {
      table: refusals,
      expired: sql`select id from ${refusals} where id < ${idBefore(RETENTION_DAYS.refusals)} order by id limit ${BATCH_SIZE}`,
    },
    {
      table: orders,
      expired: sql`select id from ${orders} where id < ${idBefore(RETENTION_DAYS.orders)} and "closedAt" is not null order by id limit ${BATCH_SIZE}`,
    },
    {
      table: tokens,
      expired: sql`select id from ${tokens} where "expiresAt" < ${before(RETENTION_DAYS.tokens)} limit ${BATCH_SIZE}`,
    },
  ];
  const oldDays = sql`select rowid as id from ${runDays} where day < ${before(RETENTION_DAYS.runDays).slice(0, 10)} order by day limit ${BATCH_SIZE}`;
  return [
    ...rules.map((rule): ExpiryRule => ({ ...rule, key: "id" })),
    { table: runDays, key: "rowid", expired: oldDays },
    {
      table: usedJwts,
      key: "rowid",
      expired: sql`select rowid as id from ${usedJwts} where "expiresAt" < ${instant(now)} order by "expiresAt" limit ${JWTS_PER_SWEEP}`,
    },
  ];
}

function isOldRun(now: number): SQL {
  return sql`${runs.heardAt} < ${instant(now - RETENTION_DAYS.runs * DAY_MS)}`;
}

function oldRuns(now: number, from: string): SQL {
  const [heardAt = "", row = "0"] = from.split(" ");
  return sql`select ${runs.id} as id, ${runs}.rowid as "row", ${runs.heardAt} as "heardAt", (${IS_OVER} and not ${isNeeded}) as "isGone"
    from ${runs} where ${isOldRun(now)} and ${runs.heardAt} >= ${heardAt}
    and not (${runs.heardAt} = ${heardAt} and ${runs}.rowid <= ${Number(row)}) order by ${runs.heardAt}, ${runs}.rowid limit ${BATCH_SIZE}`;
}

function bulkyRuns(now: number): SQL {
  const before = instant(now - RETENTION_DAYS.details * DAY_MS);
  // Must match the partial index's condition exactly. INDEXED BY, because the planner prefers a scan.
  return sql`select ${runs.id} from ${runs} indexed by runs_bulky where ${runs.heardAt} < ${before} and ${runs.state} in ('succeeded', 'warned', 'cancelled')
    and (length(${runs.log}) > 4096 or ${runs.plan} is not null or ${runs.items} is not null) limit ${BATCH_SIZE}`;
}

import { type SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { instant, uuidv7, type Id } from "../../../shared/ids.ts";
import { hosts, refusals, usedJwts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { deliveries } from "../../db/schema/notifications.ts";
import { orders, runDays, runs } from "../../db/schema/runs.ts";
import { audit, tokens } from "../../db/schema/service.ts";
import { type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { checkpointStatements } from "./audit-chain.ts";
import { isNeeded, rollUp, truncateDetails } from "../runs/history.ts";

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
export const MAX_ROWS = { runsOfHost: 50_000, refusalsOfHost: 10_000, audit: 100_000 } as const;

/** Rows per table and sweep: keeps write locks short. */
export const BATCH_SIZE = 500;
/** Of used JWTs, which are short, and one for every request of a host. */
const JWTS_PER_SWEEP = 20_000;

const DAY_MS = 86_400_000;

/**
 * Deletes rows over their age or count limit, one batch per table and sweep. Safe concurrently, and to interrupt
 * anywhere.
 */
export async function removeExpired(deps: Pick<Deps, "db" | "clock" | "signingKey">): Promise<void> {
  const { db, clock } = deps;
  const now = clock.now();
  const rules = expiryRules(now);
  const [old, many, bulky, ...found] = await db.batch([
    db.all<{ id: Id }>(oldRuns(now)),
    db.all<{ id: Id }>(excessRuns(hostOfSweep(now))),
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
    ...rollUp(db, [...new Set([...old, ...many].map(({ id }) => id))]),
    ...pending.map(({ table, key, expired }) =>
      db.run(sql`delete from ${table} where ${sql.raw(key)} in (${expired})`),
    ),
    ...(await trimAudit(deps, now)),
  ]);
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

function expiredAudit(now: number): SQL {
  const before = uuidv7(now - RETENTION_DAYS.audit * DAY_MS, new Uint8Array(10));
  const tooMuch = sql`select id from ${audit} order by id desc limit 1 offset ${MAX_ROWS.audit}`;
  const ids = sql`select id from ${audit} where id < ${before} or id <= (${tooMuch}) order by id limit ${BATCH_SIZE}`;
  return sql`select id, sequence, hash from ${audit} where id in (${ids}) order by id`;
}

/** All queries that find expired rows; a test checks their plans. */
export function expiryQueries(now: number): SQL[] {
  const simple = expiryRules(now).map(({ expired }) => expired);
  return [oldRuns(now), bulkyRuns(now), excessRuns(hostOfSweep(now)), expiredAudit(now), ...simple];
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
    { table: refusals, expired: excessRefusals(hostOfSweep(now)) },
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

function oldRuns(now: number): SQL {
  const before = instant(now - RETENTION_DAYS.runs * DAY_MS);
  return sql`select ${runs.id} from ${runs} where ${runs.heardAt} < ${before} and ${IS_OVER} and not ${isNeeded} order by ${runs.heardAt} limit ${BATCH_SIZE}`;
}

function bulkyRuns(now: number): SQL {
  const before = instant(now - RETENTION_DAYS.details * DAY_MS);
  // Must match the partial index's condition exactly. INDEXED BY, because the planner prefers a scan.
  return sql`select ${runs.id} from ${runs} indexed by runs_bulky where ${runs.heardAt} < ${before} and ${runs.state} in ('succeeded', 'warned', 'cancelled')
    and (length(${runs.log}) > 4096 or ${runs.plan} is not null or ${runs.items} is not null) limit ${BATCH_SIZE}`;
}

function excessRuns(host: SQL): SQL {
  const last = sql`select id from ${runs} where ${runs.host} = ${host} order by id desc limit 1 offset ${MAX_ROWS.runsOfHost}`;
  return sql`select ${runs.id} from ${runs} where ${runs.host} = ${host} and ${runs.id} <= (${last}) and ${IS_OVER} and not ${isNeeded}
    order by ${runs.id} limit ${BATCH_SIZE}`;
}

function excessRefusals(host: SQL): SQL {
  const last = sql`select id from ${refusals} where ${refusals.host} = ${host} order by id desc limit 1 offset ${MAX_ROWS.refusalsOfHost}`;
  return sql`select id from ${refusals} where ${refusals.host} = ${host} and id <= (${last}) order by id limit ${BATCH_SIZE}`;
}

const IS_OVER = sql`${runs.state} not in ('queued', 'running')`;

/** One host per sweep, round robin: counting the rows of all hosts every time is too expensive. */
function hostOfSweep(now: number): SQL {
  const turn = Math.floor(now / SWEEP_MS);
  return sql`(select id from ${hosts} order by id limit 1 offset ${turn} % max(1, (select count(*) from ${hosts})))`;
}

/** About the interval of sweeps. */
const SWEEP_MS = 30_000;

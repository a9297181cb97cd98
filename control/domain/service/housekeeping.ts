import { type SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { instant, uuidv7, type Id } from "../../../shared/ids.ts";
import { hosts, refusals } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { deliveries } from "../../db/schema/notifications.ts";
import { orders, runDays, runs } from "../../db/schema/runs.ts";
import { audit, tokens } from "../../db/schema/service.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { isNeeded, rollUp, truncateDetails } from "../runs/history.ts";

/** For how many days each is kept. */
export const RETENTION_DAYS = {
  runs: 400,
  /** Long logs, plans and lists of files of what did not fail. */
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

/** And how many at most, whatever their age. */
export const MAX_ROWS = { runsOfHost: 50_000, refusalsOfHost: 10_000, audit: 100_000 } as const;

/** Rows of one kind in one go: the database is everybody's meanwhile. */
export const BATCH_SIZE = 500;

const DAY_MS = 86_400_000;

/**
 * Removes what is too old or too much, a little of each kind at a time: the rest waits for the next sweep. Safe to run by several
 * at once, and to be cut off anywhere.
 */
export async function removeExpired({ db, clock }: Pick<Deps, "db" | "clock">): Promise<void> {
  const now = clock.now();
  const rules = expiryRules(now);
  const [old, many, bulky, ...found] = await db.batch([
    db.all<{ id: Id }>(oldRuns(now)),
    db.all<{ id: Id }>(excessRuns(hostOfSweep(now))),
    db.all<{ id: Id }>(bulkyRuns(now)),
    ...rules.map(({ expired: doomed }) => db.all<{ id: Id }>(doomed)),
  ]);
  // Asked once more in the write, which may be long after: what somebody has tried again meanwhile stays.
  const full = rules.filter((_, index) => (found[index] ?? []).length > 0);
  await writeAll(db, [
    ...truncateDetails(
      db,
      bulky.map(({ id }) => id),
    ),
    ...rollUp(db, [...new Set([...old, ...many].map(({ id }) => id))]),
    ...full.map(({ table, key, expired: doomed }) =>
      db.run(sql`delete from ${table} where ${sql.raw(key)} in (${doomed})`),
    ),
  ]);
}

/** Every query that finds what is to go, to be looked at. */
export function expiryQueries(now: number): SQL[] {
  const simple = expiryRules(now).map(({ expired }) => expired);
  return [oldRuns(now), bulkyRuns(now), excessRuns(hostOfSweep(now)), ...simple];
}

/** What goes by age or number alone: `expired` finds it by its key. */
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
  const tooMuchAudit = sql`select id from ${audit} order by id desc limit 1 offset ${MAX_ROWS.audit}`;
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
    {
      table: audit,
      expired: sql`select id from ${audit} where id < ${idBefore(RETENTION_DAYS.audit)} or id <= (${tooMuchAudit}) order by id limit ${BATCH_SIZE}`,
    },
  ];
  const oldDays = sql`select rowid as id from ${runDays} where day < ${before(RETENTION_DAYS.runDays).slice(0, 10)} order by day limit ${BATCH_SIZE}`;
  return [
    ...rules.map((rule): ExpiryRule => ({ ...rule, key: "id" })),
    { table: runDays, key: "rowid", expired: oldDays },
  ];
}

function oldRuns(now: number): SQL {
  const before = instant(now - RETENTION_DAYS.runs * DAY_MS);
  return sql`select ${runs.id} from ${runs} where ${runs.heardAt} < ${before} and ${IS_OVER} and not ${isNeeded} order by ${runs.heardAt} limit ${BATCH_SIZE}`;
}

function bulkyRuns(now: number): SQL {
  const before = instant(now - RETENTION_DAYS.details * DAY_MS);
  // Word for word as the index has it, and by name: of itself SQLite would rather go through all that ended well.
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

/** One host at each sweep, in turn: counting all of them each time would cost too much. */
function hostOfSweep(now: number): SQL {
  const turn = Math.floor(now / SWEEP_MS);
  return sql`(select id from ${hosts} order by id limit 1 offset ${turn} % max(1, (select count(*) from ${hosts})))`;
}

/** About how often a sweep comes. */
const SWEEP_MS = 30_000;

import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import { hosts, refusals } from "../../db/schema/hosts.ts";
import { runs } from "../../db/schema/runs.ts";
import { rowCounts, vitals } from "../../db/schema/service.ts";
import { type Database, type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { isNeeded, rollUp } from "../runs/history.ts";

/*
 * How many rows a host has is kept, because counting them all each time costs more the more there are: a host's turn
 * adds what has come since its last one, and what is removed is taken off.
 */

/** Rows of a host that are kept at most, whatever their age. */
export const MAX_ROWS_OF_HOST = { runs: 50_000, refusals: 10_000 } as const;

const TABLES = { runs, refusals } as const;
type Counted = keyof typeof TABLES;
const NAMES = ["runs", "refusals"] as const satisfies readonly Counted[];

/** Rows that one turn removes. */
const BATCH_SIZE = 500;

/** SQL: the host whose turn it is, as `turn`: for the `with` of a statement that asks `isTurnDue`. */
export const turnOfHost = sql`turn(host) as (select coalesce(
  (select id from ${hosts} where id > coalesce((select next from ${vitals} where name = 'counts'), '') order by id limit 1),
  (select id from ${hosts} order by id limit 1)))`;

/** SQL: whether the host of the turn has rows that are not counted, or too many. */
export const isTurnDue = sql`(${sql.join(
  NAMES.flatMap((of) => {
    const known = sql`from ${rowCounts} where host = (select host from turn) and ${rowCounts.of} = ${of}`;
    return [
      sql`exists (select 1 from ${TABLES[of]} as one where one.host = (select host from turn) and one.id > coalesce((select "upTo" ${known}), ''))`,
      sql`exists (select 1 ${known} and ${rowCounts.rows} > ${MAX_ROWS_OF_HOST[of]})`,
    ];
  }),
  sql` or `,
)})`;

/**
 * Counts the host's new rows, and removes the oldest ones that are too many.
 * @returns whether there are more to remove
 */
export async function takeHostTurn({ db }: Pick<Deps, "db">, host: Id): Promise<boolean> {
  const [ofRuns, ofRefusals] = await db.batch([
    db.all<NewRows>(newRows("runs", host)),
    db.all<NewRows>(newRows("refusals", host)),
  ]);
  const counted = { runs: ofRuns[0], refusals: ofRefusals[0] };
  await writeAll(
    db,
    NAMES.flatMap((of) => {
      const found = counted[of];
      if (found === undefined || found.upTo === null) return [];
      const { rows, upTo, before } = found;
      return [
        db
          .insert(rowCounts)
          .values({ host, of, rows, upTo })
          .onConflictDoUpdate({
            target: [rowCounts.host, rowCounts.of],
            set: { rows: sql`${rowCounts.rows} + excluded.rows`, upTo },
            // Another sweep may have counted them meanwhile.
            setWhere: eq(rowCounts.upTo, before),
          }),
      ];
    }),
  );
  const kept = await db.select().from(rowCounts).where(eq(rowCounts.host, host));
  const tooMany = (of: Counted): number =>
    Math.max(0, (kept.find((one) => one.of === of)?.rows ?? 0) - MAX_ROWS_OF_HOST[of]);
  const excess = { runs: tooMany("runs"), refusals: tooMany("refusals") };
  if (excess.runs + excess.refusals === 0) return false;
  const old = await db.all<{ id: Id }>(oldestRuns(host, Math.min(excess.runs, BATCH_SIZE)));
  await writeAll(db, [
    ...removeRuns(
      db,
      old.map(({ id }) => id),
    ),
    ...removeRefusals(db, oldestRefusals(host, Math.min(excess.refusals, BATCH_SIZE))),
  ]);
  return (old.length > 0 && excess.runs > BATCH_SIZE) || excess.refusals > BATCH_SIZE;
}

/** Statements for one batch: take runs off their host's count, add them to their daily totals and delete them. */
export function removeRuns(db: Database, ids: readonly Id[]): Statement[] {
  if (ids.length === 0) return [];
  return [countDown(db, "runs", sql`select value from json_each(${JSON.stringify(ids)})`), ...rollUp(db, ids)];
}

/** @param ids SQL: a select */
export function removeRefusals(db: Database, ids: SQL): Statement[] {
  return [countDown(db, "refusals", ids), db.run(sql`delete from ${refusals} where id in (${ids})`)];
}

function countDown(db: Database, of: Counted, ids: SQL): Statement {
  const these = sql`from ${TABLES[of]} as one where one.id in (${ids})`;
  const gone = sql`(select count(*) ${these} and one.host = ${rowCounts.host} and one.id <= ${rowCounts.upTo})`;
  return db
    .update(rowCounts)
    .set({ rows: sql`max(0, ${rowCounts.rows} - ${gone})` })
    .where(and(eq(rowCounts.of, of), sql`${rowCounts.host} in (select one.host ${these})`));
}

interface NewRows {
  readonly rows: number;
  /** Null: there is none. */
  readonly upTo: Id | null;
  /** Up to where they had been counted; "": none. */
  readonly before: Id;
}

function newRows(of: Counted, host: Id): SQL {
  const before = sql`coalesce((select "upTo" from ${rowCounts} where ${rowCounts.host} = ${host} and ${rowCounts.of} = ${of}), '')`;
  return sql`select count(*) as rows, max(one.id) as "upTo", ${before} as before from ${TABLES[of]} as one
    where one.host = ${host} and one.id > ${before}`;
}

/** All queries of a turn that grow with a host's rows; a test checks their plans. */
export function turnQueries(host: Id): SQL[] {
  return [...NAMES.map((of) => newRows(of, host)), oldestRuns(host, 1), oldestRefusals(host, 1)];
}

function oldestRuns(host: Id, limit: number): SQL {
  return sql`select ${runs.id} from ${runs} where ${runs.host} = ${host} and ${IS_OVER} and not ${isNeeded} order by ${runs.id} limit ${limit}`;
}

function oldestRefusals(host: Id, limit: number): SQL {
  return sql`select id from ${refusals} where ${refusals.host} = ${host} order by id limit ${limit}`;
}

/** SQL: the run has ended. */
export const IS_OVER = sql`${runs.state} not in ('queued', 'running')`;

import { sql, type SQL } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import { newestRuns, runs } from "../../db/schema/runs.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

/** More than any `alerts.failures` setting. */
export const MAX_FAILURES = 100;

const DECISIVE = sql`${runs.state} in ('succeeded', 'warned', 'failed', 'interrupted')`;
const GOOD = sql`${runs.state} in ('succeeded', 'warned')`;
const BAD = sql`${runs.state} in ('failed', 'interrupted')`;

/**
 * The statement that works out from the stored runs how these rows of `newest_runs` ended last, and what failed since
 * the last good run. Only for runs that were changed out of order; it reads no more than the failures in a row.
 * @param before runs from this id on do not count
 */
export function recountStreaks(
  { db }: Pick<Deps, "db">,
  { of, which, before }: { of: "binding" | "repository"; which: SQL; before: Id },
): Statement {
  const isOfSubject =
    of === "binding"
      ? sql`${runs.binding} = ${newestRuns.subject}`
      : sql`${runs.repository} = ${newestRuns.subject} and ${runs.binding} is null`;
  // The plus keeps it from the index by host, which holds all that this host has ever done.
  const ofRow = sql`from ${runs} where ${isOfSubject} and ${runs.kind} = ${newestRuns.kind} and +${runs.host} = ${newestRuns.host}
    and ${runs.id} < ${before}`;
  const newest = (column: SQL, when: SQL) =>
    sql`(select ${column} ${ofRow} and ${when} order by ${runs.id} desc limit 1)`;
  const badSince = sql`${BAD} and ${runs.id} > coalesce(${newest(sql`${runs.id}`, GOOD)}, '')`;
  const decided = sql`${runs.id}, ${runs.state}, ${runs.startedAt}, ${runs.finishedAt}`;
  return db.run(sql`update ${newestRuns} set
    (decided, state, "triedAt", "decidedAt") = ${newest(decided, DECISIVE)},
    "succeededAt" = ${newest(sql`${runs.finishedAt}`, GOOD)},
    failures = (select count(*) from (select 1 ${ofRow} and ${badSince} limit ${MAX_FAILURES})),
    "failedSince" = (select coalesce(${runs.finishedAt}, ${runs.startedAt}) ${ofRow} and ${badSince} order by ${runs.id} limit 1),
    checked = case when ${newestRuns.kind} = 'backup' then ${newest(sql`${runs.id}`, sql`(${GOOD} or ${runs.suspicious} is not null)`)} end
    where ${which}`);
}

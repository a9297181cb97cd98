import { sql } from "drizzle-orm";
import type { History, HistoryDay, HistoryQuery } from "../../../shared/history.ts";
import type { Id } from "../../../shared/ids.ts";
import { bindings, repositories } from "../../db/schema/contracts.ts";
import { runDays, runs } from "../../db/schema/runs.ts";
import type { Database, Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { getBinding } from "../contracts/binding-views.ts";

/** More than any `alerts.failures` setting. */
const NEWEST_KEPT = 100;
/** A shortened log keeps its end, which shows the result. */
const SHORT_LOG_CHARACTERS = 4_000;

const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;
const GOOD = sql`('succeeded', 'warned')`;
const BAD = sql`('failed', 'interrupted')`;
/** Other runs of the same kind of the same binding or whole repository. */
const ofSame = sql`from ${runs} as other where other.kind = ${runs.kind} and`;
const sameBinding = sql`other.binding = ${runs.binding}`;
const sameRepository = sql`other.repository = ${runs.repository} and other.binding is null`;

/**
 * SQL: runs that the state of an existing object depends on: the newest hundred decisive ones, the last good one, the
 * first bad one after it, and the newest source check.
 */
export const isNeeded = sql`case when ${runs.binding} is not null
  then exists (select 1 from ${bindings} where ${bindings.id} = ${runs.binding}) and ${isStillRelevant(sameBinding)}
  else exists (select 1 from ${repositories} where ${repositories.id} = ${runs.repository}) and ${isStillRelevant(sameRepository)} end`;

function isStillRelevant(same: typeof sameBinding) {
  const newer = (states: typeof GOOD) =>
    sql`exists (select 1 ${ofSame} ${same} and other.id > ${runs.id} and other.state in ${states})`;
  const lastGood = sql`(select other.id ${ofSame} ${same} and other.state in ${GOOD} order by other.id desc limit 1)`;
  const hasSourceCheck = sql`(other.state in ${GOOD} or other.suspicious is not null)`;
  return sql`(
    ${runs.state} in ${DECISIVE} and (select count(*) from (select 1 ${ofSame} ${same} and other.id > ${runs.id}
      and other.state in ${DECISIVE} limit ${NEWEST_KEPT})) < ${NEWEST_KEPT}
    or ${runs.state} in ${GOOD} and not ${newer(GOOD)}
    or ${runs.state} in ${BAD} and not ${newer(GOOD)} and not exists (select 1 ${ofSame} ${same} and other.id < ${runs.id}
      and other.id > coalesce(${lastGood}, '') and other.state in ${BAD})
    or ${runs.suspicious} is not null and not exists (select 1 ${ofSame} ${same} and other.id > ${runs.id} and ${hasSourceCheck}))`;
}

/** The day a run started, by its host's clock. */
const dayOf = sql`substr(coalesce(${runs.startedAt}, ${runs.queuedAt}, ${runs.scheduledAt}, ${runs.heardAt}), 1, 10)`;
const STATES = ["succeeded", "warned", "failed", "cancelled", "interrupted"] as const;
const counted = sql.join(
  STATES.map((state) => sql`sum(${runs.state} = ${state})`),
  sql`, `,
);
/** Hosts may report any number; a sum must not overflow. */
const MAX_SUM = Number.MAX_SAFE_INTEGER;
const added = sql.raw(`cast(min(total(json_extract("runs"."stats", '$.bytesAdded')), ${MAX_SUM}) as integer)`);

/** Statements for one batch: add runs to their daily totals and delete them. Idempotent. */
export function rollUp(db: Database, ids: readonly Id[]): Statement[] {
  if (ids.length === 0) return [];
  const these = sql`${runs.id} in (select value from json_each(${JSON.stringify(ids)}))`;
  const sums = sql.join(
    [...STATES, "bytesAdded"].map((name) => sql.raw(`"${name}" = min("${name}" + excluded."${name}", ${MAX_SUM})`)),
    sql`, `,
  );
  return [
    db.run(sql`
      insert into ${runDays} (host, binding, repository, kind, day, succeeded, warned, failed, cancelled, interrupted, "bytesAdded")
      select ${runs.host}, coalesce(${runs.binding}, ''), coalesce(${runs.repository}, ''), ${runs.kind}, ${dayOf}, ${counted}, ${added}
      from ${runs} where ${these} group by 1, 2, 3, 4, 5
      on conflict (binding, kind, day, repository, host) do update set ${sums}`),
    db.run(sql`delete from ${runs} where ${these}`),
  ];
}

/** Statements that shorten long logs and remove plans and lists of restored items; their counts stay. */
export function truncateDetails(db: Database, ids: readonly Id[]): Statement[] {
  if (ids.length === 0) return [];
  const shortened = db.run(sql`
    update ${runs} set plan = null, items = null, log = case when length(log) <= 4096 then log
      else '[older lines were removed after 30 days]' || char(10) || substr(log, ${-SHORT_LOG_CHARACTERS}) end
    where id in (select value from json_each(${JSON.stringify(ids)}))`);
  return [shortened];
}

/** A binding's days with runs, newest first: of stored runs and of daily totals. */
export async function listHistory(deps: Deps, id: Id, { kind, before, limit }: HistoryQuery): Promise<History> {
  await getBinding(deps, id);
  const isWanted = before === undefined ? sql`1` : sql`day < ${before}`;
  const sums = sql.raw(
    [...STATES, "bytesAdded"]
      .map((name) => `cast(min(total("${name}"), ${MAX_SUM}) as integer) as "${name}"`)
      .join(", "),
  );
  const rows = await deps.db.all<Omit<HistoryDay, "kind">>(sql`
    select day, ${sums} from (
      select day, succeeded, warned, failed, cancelled, interrupted, "bytesAdded" from ${runDays}
      where binding = ${id} and kind = ${kind}
      union all
      select ${dayOf}, ${counted}, ${added} from ${runs}
      where ${runs.binding} = ${id} and ${runs.kind} = ${kind} and ${runs.state} not in ('queued', 'running') group by 1)
    where ${isWanted} group by day order by day desc limit ${limit + 1}`);
  const items = rows.slice(0, limit).map((row) => ({ ...row, kind }));
  return { items, next: rows.length > limit ? (items.at(-1)?.day ?? null) : null };
}

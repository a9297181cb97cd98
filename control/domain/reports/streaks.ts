import { sql } from "drizzle-orm";
import type { Id, Instant } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood, RunKind, type RunState } from "../../../shared/run.ts";
import { runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { isNotAhead } from "../ids.ts";

/** How the runs of one kind of one binding, or of one repository as a whole, stand: the newest that ended well or badly, and since when they end badly. */
export interface Streak {
  latest: Id | null;
  state: RunState | null;
  failedSince: Instant | null;
  /** How many ended badly since the last that ended well; not counted beyond a hundred. */
  failures: number;
}

/** By `subject kind`: the id of the binding, or else of the repository. */
export type Streaks = Map<string, Streak>;

type ReportedRun = RunReport["run"];

const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;
const KINDS = RunKind.options;
const MOST_FAILURES = 100;

/**
 * One statement that reads the streaks of all these bindings and repositories, by index alone.
 * @param subjects ids of bindings, and of repositories for what is done to them as a whole
 */
export function readStreaks(deps: Pick<Deps, "db" | "clock">, subjects: readonly Id[]) {
  const pairs = JSON.stringify(subjects.flatMap((subject) => KINDS.map((kind) => ({ subject, kind }))));
  const subject = sql<Id>`json_extract(pair.value, '$.subject')`;
  const kind = sql<RunKind>`json_extract(pair.value, '$.kind')`;
  const isOfSubject = sql`(${runs.binding} = ${subject} or (${runs.repository} = ${subject} and ${runs.binding} is null))`;
  const ofPair = sql`from ${runs} where ${isOfSubject} and ${runs.kind} = ${kind} and ${isNotAhead(deps)}`;
  const newest = sql`and ${runs.state} in ${DECISIVE} order by ${runs.id} desc limit 1`;
  const lastGood = sql`(select ${runs.id} ${ofPair} and ${runs.state} in ('succeeded', 'warned') order by ${runs.id} desc limit 1)`;
  const badSince = sql`${runs.state} in ('failed', 'interrupted') and ${runs.id} > coalesce(${lastGood}, '')`;
  return deps.db
    .select({
      subject,
      kind,
      latest: sql<Id | null>`(select ${runs.id} ${ofPair} ${newest})`,
      state: sql<RunState | null>`(select ${runs.state} ${ofPair} ${newest})`,
      failedSince: sql<Instant | null>`(select coalesce(${runs.finishedAt}, ${runs.startedAt}) ${ofPair}
        and ${badSince} order by ${runs.id} limit 1)`,
      failures: sql<number>`(select count(*) from (select 1 ${ofPair} and ${badSince} limit ${MOST_FAILURES}))`,
    })
    .from(sql`json_each(${pairs}) as pair`);
}

/** How things stand with this run, and how they stood before it. */
export type StreakChange = {
  readonly failures: number;
  readonly before: RunState | null;
  /** Since when runs of its kind failed before it, or now do. */
  readonly failedSince: Instant | null;
};

/**
 * Where this run leads its kind of run; keeps the streak up to date. Null for a run that is not over, was cancelled, or is older than
 * one that ended already: it leads nowhere.
 */
export function updateStreak(streaks: Streaks, run: ReportedRun): StreakChange | null {
  const good = isGood(run.state);
  const bad = run.state === "failed" || run.state === "interrupted";
  if (!good && !bad) return null;
  const key = `${run.binding ?? run.repository} ${run.kind}`;
  const before = streaks.get(key) ?? { latest: null, state: null, failedSince: null, failures: 0 };
  if (before.latest !== null && before.latest > run.id) return null;
  const wasBad = before.state === "failed" || before.state === "interrupted";
  const failedSince = good ? null : wasBad ? before.failedSince : (run.finishedAt ?? run.startedAt);
  const failures = good ? 0 : before.latest === run.id && wasBad ? before.failures : before.failures + 1;
  streaks.set(key, { latest: run.id, state: run.state, failedSince, failures });
  return { failures, before: before.state, failedSince: good ? before.failedSince : failedSince };
}

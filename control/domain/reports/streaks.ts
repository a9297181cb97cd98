import { sql, type SQL } from "drizzle-orm";
import type { Id, Instant } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood, RunKind, type RunState } from "../../../shared/run.ts";
import { runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { isNotAhead } from "../ids.ts";

/** The newest decisive run of one kind of one binding or whole repository, and its consecutive failures. */
export interface Streak {
  latest: Id | null;
  state: RunState | null;
  failedSince: Instant | null;
  /** Failed or interrupted runs since the last good one; at most 100. */
  failures: number;
}

/** By `ID KIND`, with the id of the binding or of the whole repository. */
export type Streaks = Map<string, Streak>;

type ReportedRun = RunReport["run"];

const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;
const KINDS = RunKind.options;
const MAX_FAILURES = 100;

/**
 * Reads the streaks of the host's own runs of bindings and repositories, in one statement that uses only indexes. What
 * another host reports of a repository that both use does not count.
 * @param subjects ids of bindings, and of repositories for runs of a whole repository
 */
export function readStreaks(
  deps: Pick<Deps, "db" | "clock">,
  host: Id,
  subjects: { readonly bindings: readonly Id[]; readonly repositories: readonly Id[] },
) {
  // One select per kind of subject: with both in one condition SQLite takes no index of either, and walks all runs. The
  // plus keeps it from the index by host, which holds all that this host has ever done.
  return streaksOf(deps, subjects.bindings, sql`${runs.binding} = ${SUBJECT} and +${runs.host} = ${host}`).unionAll(
    streaksOf(
      deps,
      subjects.repositories,
      sql`${runs.repository} = ${SUBJECT} and ${runs.binding} is null and +${runs.host} = ${host}`,
    ),
  );
}

const SUBJECT = sql<Id>`json_extract(pair.value, '$.subject')`;

function streaksOf(deps: Pick<Deps, "db" | "clock">, subjects: readonly Id[], isOfSubject: SQL) {
  const pairs = JSON.stringify(subjects.flatMap((subject) => KINDS.map((kind) => ({ subject, kind }))));
  const kind = sql<RunKind>`json_extract(pair.value, '$.kind')`;
  const ofPair = sql`from ${runs} where ${isOfSubject} and ${runs.kind} = ${kind} and ${isNotAhead(deps)}`;
  const newest = sql`and ${runs.state} in ${DECISIVE} order by ${runs.id} desc limit 1`;
  const lastGood = sql`(select ${runs.id} ${ofPair} and ${runs.state} in ('succeeded', 'warned') order by ${runs.id} desc limit 1)`;
  const badSince = sql`${runs.state} in ('failed', 'interrupted') and ${runs.id} > coalesce(${lastGood}, '')`;
  return deps.db
    .select({
      subject: SUBJECT,
      kind,
      latest: sql<Id | null>`(select ${runs.id} ${ofPair} ${newest})`,
      state: sql<RunState | null>`(select ${runs.state} ${ofPair} ${newest})`,
      failedSince: sql<Instant | null>`(select coalesce(${runs.finishedAt}, ${runs.startedAt}) ${ofPair}
        and ${badSince} order by ${runs.id} limit 1)`,
      failures: sql<number>`(select count(*) from (select 1 ${ofPair} and ${badSince} limit ${MAX_FAILURES}))`,
    })
    .from(sql`json_each(${pairs}) as pair`);
}

/** A streak after a run, and its state before. */
export type StreakChange = {
  readonly failures: number;
  readonly before: RunState | null;
  /** Start of the failures: those before a good run, or those that go on. */
  readonly failedSince: Instant | null;
};

/**
 * Updates the streak with this run. Null when the run does not count: unfinished, cancelled, or older than one already
 * counted.
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

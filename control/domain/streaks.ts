import { sql } from "drizzle-orm";
import type { Id, Instant } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import { isGood, RunKind, type RunState } from "../../shared/run.ts";
import { runs } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import type { Notice } from "../notify/outbox.ts";

/** How the runs of one kind of one binding, or of one repository as a whole, stand: the newest that ended well or badly, and since when they end badly. */
export interface Streak {
  latest: Id | null;
  state: RunState | null;
  failedSince: Instant | null;
}

/** By `subject kind`: the id of the binding, or else of the repository. */
export type Streaks = Map<string, Streak>;

export interface NamedBinding {
  id: Id;
  name: string;
  contract: { id: Id; name: string };
  repository: { id: Id; name: string };
}

type ReportedRun = RunReport["run"];

const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;
const KINDS = RunKind.options;

/**
 * One statement that reads the streaks of all these bindings and repositories, by index alone.
 * @param subjects ids of bindings, and of repositories for what is done to them as a whole
 */
export function readStreaks(deps: Pick<Deps, "db">, subjects: readonly Id[]) {
  const pairs = JSON.stringify(subjects.flatMap((subject) => KINDS.map((kind) => ({ subject, kind }))));
  const subject = sql<Id>`json_extract(pair.value, '$.subject')`;
  const kind = sql<RunKind>`json_extract(pair.value, '$.kind')`;
  const isOfSubject = sql`(${runs.binding} = ${subject} or (${runs.repository} = ${subject} and ${runs.binding} is null))`;
  const ofPair = sql`from ${runs} where ${isOfSubject} and ${runs.kind} = ${kind}`;
  const newest = sql`and ${runs.state} in ${DECISIVE} order by ${runs.id} desc limit 1`;
  const lastGood = sql`(select ${runs.id} ${ofPair} and ${runs.state} in ('succeeded', 'warned') order by ${runs.id} desc limit 1)`;
  return deps.db
    .select({
      subject,
      kind,
      latest: sql<Id | null>`(select ${runs.id} ${ofPair} ${newest})`,
      state: sql<RunState | null>`(select ${runs.state} ${ofPair} ${newest})`,
      failedSince: sql<Instant | null>`(select coalesce(${runs.finishedAt}, ${runs.startedAt}) ${ofPair}
        and ${runs.state} in ('failed', 'interrupted') and ${runs.id} > coalesce(${lastGood}, '') order by ${runs.id} limit 1)`,
    })
    .from(sql`json_each(${pairs}) as pair`);
}

export type Turn = { to: "bad" } | { to: "good"; failedSince: Instant | null };

/**
 * Whether this run turns its kind of run from good to bad, or back; keeps the streak up to date. A run that is not over, was
 * cancelled, or is older than one that ended already, turns nothing.
 */
export function turnOf(streaks: Streaks, run: ReportedRun): Turn | null {
  const good = isGood(run.state);
  const bad = run.state === "failed" || run.state === "interrupted";
  if (!good && !bad) return null;
  const key = `${run.binding ?? run.repository} ${run.kind}`;
  const before = streaks.get(key) ?? { latest: null, state: null, failedSince: null };
  if (before.latest !== null && before.latest > run.id) return null;
  const wasBad = before.state === "failed" || before.state === "interrupted";
  const failedSince = good ? null : wasBad ? before.failedSince : (run.finishedAt ?? run.startedAt);
  streaks.set(key, { latest: run.id, state: run.state, failedSince });
  if (bad === wasBad) return null;
  return bad ? { to: "bad" } : { to: "good", failedSince: before.failedSince };
}

interface About {
  /** Null for what is done to a repository as a whole. */
  binding: NamedBinding | null;
  repository: { id: Id; name: string };
  host: { id: Id; name: string };
}

/** What every notification of a run says of it. */
export function runData(run: ReportedRun, { binding, repository, host }: About): Record<string, unknown> {
  const { id, kind, state, trigger, startedAt, finishedAt, failure } = run;
  return {
    run: { id, kind, state, trigger, startedAt, finishedAt, failure },
    binding: binding === null ? null : { id: binding.id, name: binding.name },
    contract: binding?.contract ?? null,
    repository: { id: repository.id, name: repository.name },
    host: { id: host.id, name: host.name },
  };
}

export function runNotice(turn: Turn, run: ReportedRun, { binding, repository, host }: About): Notice {
  const data = runData(run, { binding, repository, host });
  const about = { host: host.id, binding: binding?.id ?? null };
  if (turn.to === "good") return { type: "run.recovered", data: { ...data, failedSince: turn.failedSince }, about };
  return { type: run.failure?.code === "repository.damaged" ? "repository.check_failed" : "run.failed", data, about };
}

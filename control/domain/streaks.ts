import { sql } from "drizzle-orm";
import type { Id, Instant } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import { isGood, type RunKind, type RunState } from "../../shared/run.ts";
import { runs } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import type { Notice } from "../notify/outbox.ts";

/** How the runs of one kind of one binding stand: the newest that ended well or badly, and since when they end badly. */
export interface Streak {
  latest: Id | null;
  state: RunState | null;
  failedSince: Instant | null;
}

/** By `binding kind`. */
export type Streaks = Map<string, Streak>;

export interface NamedBinding {
  id: Id;
  name: string;
  contract: { id: Id; name: string };
  repository: { id: Id; name: string };
}

type ReportedRun = RunReport["run"];

const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;
const KINDS: readonly RunKind[] = ["backup", "forget", "restore"];

/** One statement that reads the streaks of all these bindings, by index alone. */
export function readStreaks(deps: Pick<Deps, "db">, bindings: readonly Id[]) {
  const pairs = JSON.stringify(bindings.flatMap((binding) => KINDS.map((kind) => ({ binding, kind }))));
  const binding = sql<Id>`json_extract(pair.value, '$.binding')`;
  const kind = sql<RunKind>`json_extract(pair.value, '$.kind')`;
  const ofPair = sql`from ${runs} where ${runs.binding} = ${binding} and ${runs.kind} = ${kind}`;
  const newest = sql`and ${runs.state} in ${DECISIVE} order by ${runs.id} desc limit 1`;
  const lastGood = sql`(select ${runs.id} ${ofPair} and ${runs.state} in ('succeeded', 'warned') order by ${runs.id} desc limit 1)`;
  return deps.db
    .select({
      binding,
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
  const key = `${run.binding} ${run.kind}`;
  const before = streaks.get(key) ?? { latest: null, state: null, failedSince: null };
  if (before.latest !== null && before.latest > run.id) return null;
  const wasBad = before.state === "failed" || before.state === "interrupted";
  const failedSince = good ? null : wasBad ? before.failedSince : (run.finishedAt ?? run.startedAt);
  streaks.set(key, { latest: run.id, state: run.state, failedSince });
  if (bad === wasBad) return null;
  return bad ? { to: "bad" } : { to: "good", failedSince: before.failedSince };
}

export function runNotice(turn: Turn, run: ReportedRun, binding: NamedBinding, host: { id: Id; name: string }): Notice {
  const { id, kind, state, trigger, startedAt, finishedAt, failure } = run;
  const { contract, repository } = binding;
  const data = {
    run: { id, kind, state, trigger, startedAt, finishedAt, failure },
    binding: { id: binding.id, name: binding.name },
    contract,
    repository,
    host: { id: host.id, name: host.name },
  };
  return turn.to === "bad"
    ? { type: "run.failed", data }
    : { type: "run.recovered", data: { ...data, failedSince: turn.failedSince } };
}

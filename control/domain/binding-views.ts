import { and, desc, eq, lt, sql, type SQL } from "drizzle-orm";
import type { Page } from "../../shared/api.ts";
import type { Binding, Health, Settings } from "../../shared/binding.ts";
import { CLOCK_WRONG_MS } from "../../shared/clock.ts";
import type { HostFacts } from "../../shared/host.ts";
import { instant, type Id, type Instant } from "../../shared/ids.ts";
import { nextOf, parseTimeSpan, parseTimetable, randomizedDelayMs } from "../../shared/schedule.ts";
import { resultOf } from "../../shared/result.ts";
import { isTimeZone } from "../../shared/time-zone.ts";
import type { RunKind, RunState } from "../../shared/run.ts";
import { bindings, hosts, runs } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { isNotAhead } from "./streaks.ts";
import { hasLabel, pageOf, type ListInput } from "./page.ts";
import { notFound } from "./refusals.ts";

export async function getBinding(deps: Deps, id: Id): Promise<Binding> {
  const [row] = await select(deps).where(eq(bindings.id, id));
  if (row === undefined) throw notFound("bindings", id);
  return toBinding(deps, row);
}

export async function listBindings(
  deps: Deps,
  input: ListInput & {
    host?: Id | undefined;
    contract?: Id | undefined;
    repository?: Id | undefined;
    name?: string | undefined;
    label?: string | undefined;
  },
): Promise<Page<Binding>> {
  const rows = await select(deps)
    .where(
      and(
        input.cursor === undefined ? undefined : lt(bindings.id, input.cursor),
        input.host === undefined ? undefined : eq(bindings.host, input.host),
        input.contract === undefined ? undefined : eq(bindings.contract, input.contract),
        input.repository === undefined ? undefined : eq(bindings.repository, input.repository),
        input.name === undefined ? undefined : eq(bindings.name, input.name),
        input.label === undefined ? undefined : hasLabel(bindings.labels, input.label),
      ),
    )
    .orderBy(desc(bindings.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, (row) => toBinding(deps, row));
}

interface Row {
  id: Id;
  host: Id;
  name: string;
  contract: Id;
  repository: Id;
  settings: Settings;
  labels: string[];
  paused: boolean;
  declared: boolean;
  undeclaredAt: Instant | null;
  createdAt: Instant;
  changedAt: Instant;
  facts: HostFacts | null;
  lastBackup: RunState | null;
  lastForget: RunState | null;
  lastSuccessAt: Instant | null;
}

function select(deps: Deps) {
  return deps.db
    .select({
      id: bindings.id,
      host: bindings.host,
      name: bindings.name,
      contract: bindings.contract,
      repository: bindings.repository,
      settings: bindings.settings,
      labels: bindings.labels,
      paused: bindings.paused,
      declared: bindings.declared,
      undeclaredAt: bindings.undeclaredAt,
      createdAt: bindings.createdAt,
      changedAt: bindings.changedAt,
      facts: hosts.facts,
      lastBackup: lastOf<RunState>(deps, sql`${runs.state}`, "backup", DECISIVE),
      lastForget: lastOf<RunState>(deps, sql`${runs.state}`, "forget", DECISIVE),
      lastSuccessAt: lastOf<Instant>(deps, sql`${runs.finishedAt}`, "backup", sql`('succeeded', 'warned')`),
    })
    .from(bindings)
    .innerJoin(hosts, eq(hosts.id, bindings.host));
}

/** A cancelled run says nothing of the binding's health. */
const DECISIVE = sql`('succeeded', 'warned', 'failed', 'interrupted')`;

/** What a clock made that was ahead, and is right now, counts only where there is nothing else: it must not hide what came since. */
function lastOf<T>(deps: Deps, column: SQL, kind: RunKind, states: SQL): SQL<T | null> {
  const isCredible = sql`(coalesce(${hosts.clockSkewMs}, 0) > ${CLOCK_WRONG_MS} or ${isNotAhead(deps)})`;
  const last = (when: SQL): SQL => sql`(select ${column} from ${runs} where ${runs.binding} = ${bindings.id}
    and ${runs.kind} = ${kind} and ${runs.state} in ${states} and ${when} order by ${runs.id} desc limit 1)`;
  return sql<T | null>`coalesce(${last(isCredible)}, ${last(sql`1`)})`;
}

function toBinding(deps: Deps, { facts, lastBackup, lastForget, ...row }: Row): Binding {
  return {
    ...row,
    health: healthOf(row, lastBackup, lastForget),
    nextRunAt: nextRunAt(deps, row, facts),
    result: resultOf(row.name),
  };
}

function healthOf(
  row: Pick<Row, "paused" | "lastSuccessAt">,
  lastBackup: RunState | null,
  lastForget: RunState | null,
): Health {
  if (row.paused) return "paused";
  const failing = [lastBackup, lastForget].some((state) => state === "failed" || state === "interrupted");
  if (failing) return "failing";
  return row.lastSuccessAt === null ? "unprotected" : "healthy";
}

/** When the host will begin the next scheduled run, by the same function that it decides by. */
function nextRunAt(deps: Deps, row: Pick<Row, "id" | "paused" | "settings">, facts: HostFacts | null): Instant | null {
  const { enable, timerConfig, zone } = row.settings;
  const timetable = parseTimetable(timerConfig.OnCalendar);
  const spread = parseTimeSpan(timerConfig.RandomizedDelaySec);
  if (row.paused || !enable || !timetable.ok || !spread.ok) return null;
  const delay = randomizedDelayMs(row.id, spread.value);
  const hostZone = facts !== null && isTimeZone(facts.zone) ? facts.zone : "UTC";
  const due = nextOf(timetable.value, deps.clock.now() - delay, zone ?? hostZone);
  return due === null ? null : instant(due + delay);
}

import { and, desc, eq, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import type { Binding, Health, Settings } from "../../../shared/binding.ts";
import type { HostFacts } from "../../../shared/host.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import type { ExpectedBackup } from "../../../shared/lateness.ts";
import { resultOf } from "../../../shared/result.ts";
import type { RunState } from "../../../shared/run.ts";
import { nextStart, parseTimer } from "../../../shared/timer.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { newestRuns } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { isNewestBackup, nextExpectedBackup, scheduledBindingColumns, zoneOf } from "../lateness/expected-backup.ts";
import { hasLabel, isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

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
        isPastCursor(bindings.id, input),
        matches(bindings.host, input.host),
        matches(bindings.contract, input.contract),
        matches(bindings.repository, input.repository),
        matches(bindings.name, input.name),
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
  expectedSince: Instant | null;
  goodAt: Instant | null;
  endedAt: Instant | null;
  startedAt: Instant | null;
  facts: HostFacts | null;
  revokedAt: Instant | null;
  running: Id | null;
  isStuck: boolean;
  lastBackup: RunState | null;
  lastForget: RunState | null;
  lastSuccessAt: Instant | null;
}

function select({ db }: Deps) {
  return (
    db
      .select({
        ...scheduledBindingColumns,
        host: bindings.host,
        name: bindings.name,
        contract: bindings.contract,
        repository: bindings.repository,
        labels: bindings.labels,
        declared: bindings.declared,
        undeclaredAt: bindings.undeclaredAt,
        changedAt: bindings.changedAt,
        revokedAt: hosts.revokedAt,
        running: newestRuns.running,
        startedAt: newestRuns.startedAt,
        isStuck:
          sql<boolean>`exists (select 1 from ${incidents} where ${incidents.key} >= 'binding.stuck ' || ${bindings.id}
        and ${incidents.key} < 'binding.stuck ' || ${bindings.id} || '!' and ${incidents.closedAt} is null)`.mapWith(
            Boolean,
          ),
        lastBackup: newestRuns.state,
        lastForget,
        lastSuccessAt: newestRuns.succeededAt,
      })
      .from(bindings)
      // Each has one. A left join keeps SQLite from beginning with the hosts, and sorting all bindings for one page.
      .leftJoin(hosts, eq(hosts.id, bindings.host))
      .leftJoin(newestRuns, isNewestBackup)
  );
}

/** SQL: how the newest forget ended; for an append-only repository it is another host's. */
const lastForget = sql<RunState | null>`(select forget.state from ${newestRuns} as forget
  where forget.subject = ${bindings.id} and forget.kind = 'forget' order by forget.decided desc limit 1)`;

function toBinding(deps: Deps, row: Row): Binding {
  const {
    facts: _facts,
    revokedAt,
    running: _running,
    isStuck: _isStuck,
    lastBackup: _backup,
    lastForget: _forget,
    ...more
  } = row;
  const { goodAt: _good, endedAt: _ended, startedAt: _started, expectedSince: _since, ...shown } = more;
  const expected = nextExpectedBackup(row);
  return {
    ...shown,
    health: healthOf(deps, row, expected),
    nextRunAt: nextRunAt(deps, row),
    lateAt: expected === null || revokedAt !== null ? null : instant(expected.lateAt),
    result: resultOf(row.name),
  };
}

/** The most urgent state wins. A running backup that makes progress is not late. */
function healthOf({ clock }: Deps, row: Row, expected: ExpectedBackup | null): Health {
  const { paused, settings, running, isStuck, lastBackup, lastForget, lastSuccessAt } = row;
  const hasNone = lastSuccessAt === null && row.goodAt === null;
  if (paused) return "paused";
  if (isStuck) return "stuck";
  if ([lastBackup, lastForget].some((state) => state === "failed" || state === "interrupted")) return "failing";
  if (hasNone) return "unprotected";
  if (!settings.enable) return "paused";
  return expected !== null && expected.lateAt <= clock.now() && running === null ? "late" : "healthy";
}

/** When the host starts the next scheduled run, by the same functions that the agent uses. */
function nextRunAt(deps: Deps, row: Row): Instant | null {
  const { id, paused, settings, facts, goodAt, startedAt, endedAt, running } = row;
  const timer = parseTimer(settings.timerConfig);
  if (paused || !settings.enable || !timer.ok) return null;
  const startedMs = startedAt === null ? null : Date.parse(startedAt);
  const endedMs = endedAt === null || running !== null ? null : Date.parse(endedAt);
  const due = nextStart(timer.value, id, {
    zone: settings.zone ?? zoneOf(facts),
    nowMs: deps.clock.now(),
    goodMs: goodAt === null ? null : Date.parse(goodAt),
    last: startedMs === null ? null : { startedMs, endedMs },
    sinceMs: Date.parse(row.expectedSince ?? row.createdAt),
  });
  return due === null ? null : instant(due);
}

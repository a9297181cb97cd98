import { and, eq, gte, isNull, lt, or, sql, type SQL } from "drizzle-orm";
import { instant, idTimeMs, uuidv7 } from "../../../shared/ids.ts";
import { isGood } from "../../../shared/run.ts";
import { parseTimeSpan } from "../../../shared/schedule.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { runs } from "../../db/schema/runs.ts";
import { writeInParts, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import {
  closeIncident,
  hasOpen,
  incidentKey,
  isOpenOfKind,
  openIncident,
  type IncidentRef,
} from "../incidents/incidents.ts";
import { firstFutureId } from "../ids.ts";
import { runData } from "../run-data.ts";
import { hear, isSilent } from "../lateness/last-heard.ts";

/** Longer than the engines' own retries (15 minutes). */
const NO_PROGRESS_MS = 30 * 60_000;
/** After its time limit the agent stops a run, finishes the hooks and reports it. This must have happened by then. */
const OVER_LIMIT_MS = 3_600_000;
const DEFAULT_LIMIT_MS = 24 * 3_600_000;
/** Runs of one sweep: more than a fleet has that run for half an hour. */
const BATCH_SIZE = 500;

/** SQL: whether a run has been running for long enough to be stuck, or was stuck when it was last looked at. */
export function isStuckDue(deps: Pick<Deps, "clock">): SQL {
  return sql`(exists (select 1 from ${runs} where ${isLong(deps)}) or exists (select 1 from ${runs} where ${isOfFuture(deps)})
    or ${hasOpen("binding.stuck")} or ${hasOpen("repository.stuck")})`;
}

/**
 * Opens and closes the incidents of running runs that are over their time limit or make no progress. Runs of offline
 * hosts are left out: their hosts have an incident of their own.
 */
export async function sweepStuck(deps: Deps): Promise<void> {
  const [long, ofFuture, open] = await deps.db.batch([
    select(deps)
      .where(and(isLong(deps), isNull(hosts.offlineAt)))
      .orderBy(runs.id)
      .limit(BATCH_SIZE),
    select(deps)
      .where(and(isOfFuture(deps), isNull(hosts.offlineAt)))
      .orderBy(runs.id)
      .limit(BATCH_SIZE),
    deps.db
      .select()
      .from(incidents)
      .where(or(isOpenOfKind("binding.stuck"), isOpenOfKind("repository.stuck"))),
  ]);
  const suspected = [...long, ...ofFuture].flatMap((row) => {
    const why = stuckReason(deps, row);
    return why === null ? [] : [{ row, why, key: incidentKey(stuckIncident(row)) }];
  });
  const heard = await hear(
    deps,
    suspected.map(({ row }) => row.presence),
  );
  const stuck = suspected.filter(({ row }) => isSilent(deps, row.presence, heard) === false);
  const known = new Set(open.map(({ key }) => key));
  const isStuck = new Set(stuck.map(({ key }) => key));
  const units = [
    ...stuck.flatMap(({ row, why, key }) => (known.has(key) ? [] : [openStuck(deps, row, why)])),
    ...(await closeStuck(
      deps,
      open.filter(({ key }) => !isStuck.has(key)),
    )),
  ];
  await writeInParts(deps.db, units);
  if (units.length > 0) deps.wakeOutbox();
}

/** Of the past: it has been running for longer than a run without progress may. By the index of state and id. */
function isLong({ clock }: Pick<Deps, "clock">): SQL | undefined {
  return and(eq(runs.state, "running"), lt(runs.id, uuidv7(clock.now() - NO_PROGRESS_MS, new Uint8Array(10))));
}

/** Its host's clock was ahead when it began, so that its id does not say since when it has been running. */
function isOfFuture(deps: Pick<Deps, "clock">): SQL | undefined {
  return and(eq(runs.state, "running"), gte(runs.id, firstFutureId(deps)));
}

type Row = Awaited<ReturnType<typeof select>>[number];

function select({ db }: Pick<Deps, "db">) {
  return db
    .select({
      run: runs,
      host: { id: hosts.id, name: hosts.name },
      presence: { id: hosts.id, connectionId: hosts.connectionId, lastSeenAt: hosts.lastSeenAt },
      connectedAt: hosts.connectedAt,
      revokedAt: hosts.revokedAt,
      binding: { id: bindings.id, name: bindings.name },
      settings: bindings.settings,
      paused: bindings.paused,
      contract: { id: contracts.id, name: contracts.name },
      repository: { id: repositories.id, name: repositories.name },
    })
    .from(runs)
    .innerJoin(hosts, eq(hosts.id, runs.host))
    .leftJoin(bindings, eq(bindings.id, runs.binding))
    .leftJoin(contracts, eq(contracts.id, bindings.contract))
    .leftJoin(repositories, eq(repositories.id, sql`coalesce(${bindings.repository}, ${runs.repository})`));
}

/** @returns null when it is not stuck, unless its host is silent */
function stuckReason(deps: Deps, row: Row): string | null {
  const { run, presence, settings, connectedAt } = row;
  const now = deps.clock.now();
  if (isUnmonitored(row)) return null;
  const limit = settings === null ? null : parseTimeSpan(settings.runTimeLimit);
  const limitMs = limit?.ok === true ? limit.value : DEFAULT_LIMIT_MS;
  const startedAt = Math.max(idTimeMs(run.id), Date.parse(run.startedAt ?? "") || 0);
  if (now > startedAt + limitMs + OVER_LIMIT_MS)
    return `it has been running since ${instant(startedAt)}, longer than its time limit`;
  // Without a socket, or with an agent that does not count its work, missing progress means nothing.
  if (run.progress?.worked === undefined || connectedAt === null || presence.connectionId === null) return null;
  const progressedAt = Math.max(Date.parse(run.progressAt ?? "") || startedAt, Date.parse(connectedAt));
  return now - progressedAt >= NO_PROGRESS_MS ? `no progress since ${instant(progressedAt)}` : null;
}

function openStuck(deps: Deps, row: Row, why: string): Statement[] {
  const { run, host, binding, repository } = row;
  const what = binding === null ? `repository "${repository?.name ?? ""}"` : `binding "${binding.name}"`;
  const summary = `${run.kind} of ${what} on host "${host.name}" is stuck: ${why}`;
  const event = { type: "backup.stuck" as const, data: { ...dataOf(row), reason: why } };
  return openIncident(deps, stuckIncident(row), { summary, event, when: isUnchanged(row) });
}

type IncidentRow = typeof incidents.$inferSelect;

/** Reads the newest run of each at once. @returns the statements that close those that are over */
async function closeStuck(deps: Deps, open: readonly IncidentRow[]): Promise<Statement[][]> {
  const [first, ...rest] = open.map(({ host, binding, repository, detail }) => {
    const of =
      binding === null
        ? sql`${runs.binding} is null and ${runs.repository} = ${repository}`
        : eq(runs.binding, binding);
    return select(deps)
      .where(and(of, eq(runs.host, host ?? ""), sql`${runs.kind} = ${detail}`))
      .orderBy(sql`${runs.id} desc`)
      .limit(1);
  });
  const newest = first === undefined ? [] : await deps.db.batch([first, ...rest]);
  return open.flatMap((incident, index) => closeOneStuck(deps, incident, newest[index]?.[0]));
}

/**
 * Closes with a notification on progress or success. A bad end has its own incident, so there it closes without one.
 * Stays open while nothing is known of the run.
 * @returns no unit when it stays open, else one
 */
function closeOneStuck(deps: Deps, incident: IncidentRow, row: Row | undefined): Statement[][] {
  const { kind, host, binding, repository, detail } = incident;
  const isOff = row === undefined || isUnmonitored(row);
  if (!isOff && row.run.state === "running" && (row.run.progressAt ?? "") <= incident.openedAt) return [];
  const isRecovered = !isOff && (row.run.state === "running" || isGood(row.run.state));
  const message = row === undefined ? "the run was deleted" : `run ${row.run.id}: ${row.run.state}`;
  const event = isRecovered ? { type: "backup.recovered" as const, data: dataOf(row) } : null;
  return [closeIncident(deps, { kind, host, binding, repository, detail }, { message, event })];
}

/** Not monitored: its host is revoked, or its binding is paused. */
function isUnmonitored({ revokedAt, paused }: Row): boolean {
  return revokedAt !== null || paused === true;
}

function stuckIncident({ run, host, binding, repository }: Row): IncidentRef {
  const of = { host: host.id, repository: repository?.id ?? null, detail: run.kind };
  if (binding === null) return { kind: "repository.stuck", ...of };
  return { kind: "binding.stuck", binding: binding.id, ...of };
}

function dataOf({ run, host, binding, contract, repository }: Row): Record<string, unknown> {
  const named = repository ?? { id: "", name: "" };
  if (binding === null || contract === null) return runData(run, { binding: null, repository: named, host });
  return runData(run, { binding: { ...binding, contract, repository: named }, repository: named, host });
}

function isUnchanged({ run }: Row): SQL {
  return sql`exists (select 1 from ${runs} where ${runs.id} = ${run.id} and ${runs.state} = 'running'
    and ${runs.progressAt} is ${run.progressAt})`;
}

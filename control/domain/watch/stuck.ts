import { and, eq, isNull, sql, type SQL } from "drizzle-orm";
import { instant, idTimeMs } from "../../../shared/ids.ts";
import { isGood } from "../../../shared/run.ts";
import { parseTimeSpan } from "../../../shared/schedule.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { runs } from "../../db/schema/runs.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, incidentKey, openIncident, type IncidentRef } from "../incidents/incidents.ts";
import { runData } from "../run-data.ts";
import { isSilent } from "../lateness/last-heard.ts";

/** Longer than the engines' own retries (15 minutes). */
const NO_PROGRESS_MS = 30 * 60_000;
/** After its time limit the agent stops a run, finishes the hooks and reports it. This must have happened by then. */
const OVER_LIMIT_MS = 3_600_000;
const DEFAULT_LIMIT_MS = 24 * 3_600_000;

/** Opens and closes the incidents of running runs that are over their time limit or make no progress. */
export async function sweepStuck(deps: Deps): Promise<void> {
  const [running, open] = await deps.db.batch([
    select(deps).where(eq(runs.state, "running")),
    deps.db
      .select()
      .from(incidents)
      .where(and(isNull(incidents.closedAt), sql`${incidents.kind} in ('binding.stuck', 'repository.stuck')`)),
  ]);
  const stuck = new Map<string, Row>();
  for (const row of running)
    if ((await stuckReason(deps, row)) !== null) stuck.set(incidentKey(stuckIncident(row)), row);
  const known = new Set(open.map(({ key }) => key));
  for (const [key, row] of stuck) if (!known.has(key)) await openStuck(deps, row);
  for (const incident of open) if (!stuck.has(incident.key)) await closeStuck(deps, incident);
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

/** @returns null when it is not stuck as far as is known; a silent host has its own incident */
async function stuckReason(deps: Deps, row: Row): Promise<string | null> {
  const { run, presence, settings, connectedAt } = row;
  const now = deps.clock.now();
  if (isUnmonitored(row) || (await isSilent(deps, presence))) return null;
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

async function openStuck(deps: Deps, row: Row): Promise<void> {
  const { run, host, binding, repository } = row;
  const why = await stuckReason(deps, row);
  const what = binding === null ? `repository "${repository?.name ?? ""}"` : `binding "${binding.name}"`;
  const summary = `${run.kind} of ${what} on host "${host.name}" is stuck: ${why ?? ""}`;
  const event = { type: "backup.stuck" as const, data: { ...dataOf(row), reason: why } };
  await writeAll(deps.db, openIncident(deps, stuckIncident(row), { summary, event, when: isUnchanged(row) }));
  deps.wakeOutbox();
}

type IncidentRow = typeof incidents.$inferSelect;

/**
 * Closes with a notification on progress or success. A bad end has its own incident, so there it closes without one.
 * Stays open while nothing is known of the run.
 */
async function closeStuck(deps: Deps, incident: IncidentRow): Promise<void> {
  const { kind, host, binding, repository, detail } = incident;
  const of =
    binding === null ? sql`${runs.binding} is null and ${runs.repository} = ${repository}` : eq(runs.binding, binding);
  const [row] = await select(deps)
    .where(and(of, eq(runs.host, host ?? ""), sql`${runs.kind} = ${detail}`))
    .orderBy(sql`${runs.id} desc`)
    .limit(1);
  const isOff = row === undefined || isUnmonitored(row);
  if (!isOff && row.run.state === "running" && (row.run.progressAt ?? "") <= incident.openedAt) return;
  const isRecovered = !isOff && (row.run.state === "running" || isGood(row.run.state));
  const message = row === undefined ? "the run was deleted" : `run ${row.run.id}: ${row.run.state}`;
  const event = isRecovered ? { type: "backup.recovered" as const, data: dataOf(row) } : null;
  const ref = { kind, host, binding, repository, detail };
  await writeAll(deps.db, closeIncident(deps, ref, { message, event }));
  deps.wakeOutbox();
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

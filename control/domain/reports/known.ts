import { and, eq, inArray } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import type { Report } from "../../../shared/report.ts";
import type { RunState } from "../../../shared/run.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts, refusals } from "../../db/schema/hosts.ts";
import { newestRuns, runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { maintainingHost } from "../contracts/assignments.ts";
import { isNewestBackup, scheduledBindingColumns, type ScheduledBinding } from "../lateness/expected-backup.ts";
import type { NamedBinding } from "../run-data.ts";
import { type KnownIncidents, readOpenIncidents } from "./incidents.ts";
import { newestRunsOf, type NewestRuns } from "./newest-runs.ts";
import type { Reported } from "./quota.ts";

export interface ReportingHost {
  readonly id: Id;
  readonly name: string;
}

export type KnownBinding = NamedBinding &
  ScheduledBinding & {
    host: Id;
    engineId: string | null;
    identifiedBy: Id;
    listedBy: Id | null;
    listChecksum: string | null;
    appendOnly: boolean;
  };

/** What is stored of that which reports are about. Planning updates it from report to report. */
export interface KnownState {
  reportCount: number;
  reported: Reported;
  bindings: Map<Id, KnownBinding>;
  /** Repositories that the host uses and that have a run as a whole in the reports. */
  repositories: Map<Id, { id: Id; name: string }>;
  runs: Map<Id, { host: Id; sequence: number; state: RunState }>;
  refusals: Map<Id, { host: Id }>;
  newest: NewestRuns;
  incidents: KnownIncidents;
}

/** Reads no history: only rows by their keys. */
export async function readKnown(deps: Deps, host: ReportingHost, reports: readonly Report[]): Promise<KnownState> {
  const { db } = deps;
  const reported = reports.flatMap((report) => (report.type === "run" ? [report.run] : []));
  const bindingIds = distinct(reported.flatMap(({ binding }) => binding ?? []));
  const repositoryIds = distinct(reported.flatMap((run) => (run.binding === null ? (run.repository ?? []) : [])));
  const kinds = distinct(reported.map(({ kind }) => kind));
  const [[self], bound, existing, newest, open] = await db.batch([
    db
      .select({ reportCount: hosts.reportCount, bytes: hosts.reportedBytes, since: hosts.reportedSince })
      .from(hosts)
      .where(eq(hosts.id, host.id)),
    db
      .select({
        ...scheduledBindingColumns,
        name: bindings.name,
        host: bindings.host,
        listedBy: bindings.listedBy,
        listChecksum: bindings.listChecksum,
        engineId: repositories.engineId,
        appendOnly: repositories.appendOnly,
        identifiedBy: maintainingHost,
        contract: { id: contracts.id, name: contracts.name },
        repository: { id: repositories.id, name: repositories.name },
      })
      .from(bindings)
      .innerJoin(hosts, eq(hosts.id, bindings.host))
      .innerJoin(contracts, eq(contracts.id, bindings.contract))
      .innerJoin(repositories, eq(repositories.id, bindings.repository))
      .leftJoin(newestRuns, isNewestBackup)
      .where(inArray(bindings.id, bindingIds)),
    db
      .select({ id: runs.id, host: runs.host, sequence: runs.sequence, state: runs.state })
      .from(runs)
      .where(
        inArray(
          runs.id,
          reported.map(({ id }) => id),
        ),
      ),
    db
      .select()
      .from(newestRuns)
      .where(
        and(
          inArray(newestRuns.subject, [...bindingIds, ...repositoryIds]),
          inArray(newestRuns.kind, kinds),
          eq(newestRuns.host, host.id),
        ),
      ),
    readOpenIncidents(deps, bindingIds, repositoryIds, kinds),
  ]);
  return {
    reportCount: self?.reportCount ?? -1,
    reported: { bytes: self?.bytes ?? 0, since: self?.since ?? null },
    bindings: new Map(bound.map((row) => [row.id, row])),
    repositories: await readRepositories(deps, host, repositoryIds),
    runs: new Map(existing.map((row) => [row.id, row])),
    refusals: await readRefusals(
      deps,
      reports.flatMap((report) => (report.type === "refusal" ? [report.id] : [])),
    ),
    newest: newestRunsOf(deps, host.id, newest),
    incidents: {
      open: new Map(open.map(({ key, host: of }) => [key, of])),
      wereOpen: new Set(open.map(({ key }) => key)),
      absent: new Set(),
    },
  };
}

async function readRepositories(
  { db }: Deps,
  host: ReportingHost,
  ids: readonly Id[],
): Promise<KnownState["repositories"]> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectDistinct({ id: repositories.id, name: repositories.name })
    .from(repositories)
    .innerJoin(bindings, eq(bindings.repository, repositories.id))
    .where(and(inArray(repositories.id, [...ids]), eq(bindings.host, host.id)));
  return new Map(rows.map((row) => [row.id, row]));
}

async function readRefusals({ db }: Deps, ids: readonly Id[]): Promise<KnownState["refusals"]> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .select({ id: refusals.id, host: refusals.host })
    .from(refusals)
    .where(inArray(refusals.id, [...ids]));
  return new Map(rows.map((row) => [row.id, row]));
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

import { inArray, isNull, sql, type SQL } from "drizzle-orm";
import type { EventType } from "../../../shared/event.ts";
import type { RunFailureCode } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood, type RunKind } from "../../../shared/run.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import type { ScheduledBinding } from "../lateness/expected-backup.ts";
import { closeIncident, incidentKey, openIncident, type IncidentRef } from "../incidents/incidents.ts";
import { MISSING_BACKUP_INCIDENTS } from "../lateness/lateness.ts";
import { runData, type NamedBinding } from "../run-data.ts";
import type { RunChange, SourceCheck } from "./newest-runs.ts";
import { suspiciousSourceData } from "./source-checks.ts";

export interface KnownIncidents {
  /** The host of each open incident that these reports may close, by incident key. */
  readonly open: Map<string, Id | null>;
  /** Keys of those that were open when they were read. */
  readonly wereOpen: ReadonlySet<string>;
  /** Keys of those that would have been closed, had they been open when they were read. */
  readonly absent: Set<string>;
}

interface Subject {
  /** Null for a run of a whole repository. */
  readonly binding: (NamedBinding & ScheduledBinding) | null;
  readonly repository: { readonly id: Id; readonly name: string };
  readonly host: { readonly id: Id; readonly name: string };
}

/**
 * Reads the open incidents that runs of these kinds may close, in one statement: by key, so that it reads no closed
 * ones.
 * @param repositoryIds of runs of a whole repository
 */
export function readOpenIncidents(
  { db }: Pick<Deps, "db">,
  bindingIds: readonly Id[],
  repositoryIds: readonly Id[],
  kinds: readonly RunKind[],
) {
  const ofHost = { host: null };
  const ofRepository = (repository: Id) =>
    (["repository.damaged", "repository.unreachable"] as const).map((kind) =>
      incidentKey({ ...ofHost, kind, repository }),
    );
  const keys = [
    ...bindingIds.flatMap((binding) => [
      ...[...MISSING_BACKUP_INCIDENTS, SUSPICIOUS].map((what) => incidentKey({ ...ofHost, ...what, binding })),
      ...kinds.map((detail) => incidentKey({ ...ofHost, kind: "binding.failing", binding, detail })),
    ]),
    ...repositoryIds.flatMap((repository) => [
      ...ofRepository(repository),
      ...kinds.map((detail) => incidentKey({ ...ofHost, kind: "repository.failing", repository, detail })),
    ]),
  ];
  const ofBindings = sql`select start.value || ${bindings.repository} from ${bindings}, json_each(${JSON.stringify(ofRepository(""))}) as start
    where ${inArray(bindings.id, [...bindingIds])}`;
  return db
    .select({ key: incidents.key, host: incidents.host })
    .from(incidents)
    .where(
      sql`${isNull(incidents.closedAt)} and ${incidents.key} in (select value from json_each(${JSON.stringify(keys)}) union all ${ofBindings})`,
    );
}

/** SQL: whether none of these incidents is open, as when they were read. */
export function areAbsent(keys: ReadonlySet<string>): SQL {
  return sql`not exists (select 1 from ${incidents} where ${isNull(incidents.closedAt)}
    and ${incidents.key} in (select value from json_each(${JSON.stringify([...keys])})))`;
}

/**
 * Statements that open and close the incidents of one run report: failing kind of run, damaged or unreachable
 * repository, suspicious sources. Also enqueues run.warned for the first run with warnings. Updates `known` for the
 * next report.
 * @returns an empty list when nothing changes
 */
export function planIncidents(
  deps: Deps,
  known: KnownIncidents,
  subject: Subject,
  { report, change }: { report: RunReport; change: RunChange },
): Statement[] {
  const sources = planSourceIncident(deps, known, subject, { report, sourceCheck: change.sourceCheck });
  const { run } = report;
  const { streak } = change;
  if (streak === null) return sources;
  const data = runData(run, subject);
  if (!isGood(run.state)) {
    const closed = hasReachedRepository(run.failure?.code) ? closeUnreachable(deps, known, subject, report) : [];
    const isEnough = streak.failures >= (subject.binding?.settings.alerts.failures ?? 1);
    return [...sources, ...closed, ...(isEnough ? openFailureIncident(deps, known, { subject, report, data }) : [])];
  }
  const failing = failingIncident(subject, report);
  const about = { host: subject.host.id, binding: subject.binding?.id ?? null, repository: subject.repository.id };
  const isFirstWarned = run.state === "warned" && report.suspicious === null && !isBadOrWarned(streak.before);
  return [
    ...sources,
    ...(isFirstWarned ? [enqueue(deps, { type: "run.warned", data, subject: about })] : []),
    ...closeIfOpen(deps, known, failing, {
      message: `${run.kind} ${run.id} succeeded`,
      event: { type: "run.recovered", data: { ...data, failedSince: streak.failedSince } },
    }),
    ...closeUnreachable(deps, known, subject, report),
    ...(run.kind === "check"
      ? closeIfOpen(deps, known, repositoryIncident(subject, "repository.damaged"), {
          message: `check ${run.id} found no damage`,
          event: { type: "repository.recovered", data },
        })
      : []),
  ];
}

function isBadOrWarned(state: string | null): boolean {
  return state === "failed" || state === "interrupted" || state === "warned";
}

/**
 * Opens the incident of a failure: of the whole repository if it is damaged or unreachable, else of this kind of run.
 */
function openFailureIncident(
  deps: Deps,
  known: KnownIncidents,
  { subject, report, data }: { subject: Subject; report: RunReport; data: Record<string, unknown> },
): Statement[] {
  const { kind, failure, state } = report.run;
  const { binding, repository, host } = subject;
  const why = failure?.message ?? state;
  if (failure?.code === "repository.damaged") {
    const summary = `repository "${repository.name}" is damaged: ${why}`;
    const event = { type: "repository.check_failed" as const, data };
    return openOnce(deps, known, repositoryIncident(subject, "repository.damaged"), { summary, event });
  }
  if (failure?.code === "repository.unreachable") {
    const summary = `repository "${repository.name}" can't be reached from host "${host.name}": ${why}`;
    const event = { type: "repository.unreachable" as const, data };
    return openOnce(deps, known, repositoryIncident(subject, "repository.unreachable"), { summary, event });
  }
  const what = binding === null ? `repository "${repository.name}"` : `binding "${binding.name}"`;
  const summary = `${kind} of ${what} on host "${host.name}" ${state === "interrupted" ? "was interrupted" : "failed"}: ${why}`;
  return openOnce(deps, known, failingIncident(subject, report), { summary, event: { type: "run.failed", data } });
}

function planSourceIncident(
  deps: Deps,
  known: KnownIncidents,
  { binding, host }: Subject,
  { report, sourceCheck }: { report: RunReport; sourceCheck: SourceCheck | null },
): Statement[] {
  if (sourceCheck === null || binding === null) return [];
  const ref: IncidentRef = {
    ...SUSPICIOUS,
    host: host.id,
    binding: binding.id,
    repository: binding.repository.id,
  };
  const data = suspiciousSourceData(report, { binding, host });
  if (!sourceCheck.isSuspicious) {
    const event = { type: "source.recovered" as const, data };
    return closeIfOpen(deps, known, ref, { message: `backup ${report.run.id} found the sources normal`, event });
  }
  const summary = `the sources of binding "${binding.name}" on host "${host.name}" look wrong: ${sourceCheck.reason}`;
  const event = { type: "source.suspicious" as const, data: { reason: sourceCheck.reason, ...data } };
  return openOnce(deps, known, ref, { summary, event });
}

/** Whether the failure shows that the repository was reached. Other failures show nothing about it. */
function hasReachedRepository(code: RunFailureCode | undefined): boolean {
  return code !== undefined && REACHED_CODES.includes(code);
}

const REACHED_CODES: readonly RunFailureCode[] = [
  "repository.locked",
  "repository.swapped",
  "repository.wrong_passphrase",
  "repository.full",
  "repository.damaged",
];

/** Closes repository.unreachable, but only for the host that opened it: another host may use another route. */
function closeUnreachable(deps: Deps, known: KnownIncidents, subject: Subject, { run }: RunReport): Statement[] {
  const ref = repositoryIncident(subject, "repository.unreachable");
  if (known.open.get(incidentKey(ref)) !== subject.host.id) return [];
  const event = { type: "repository.recovered" as const, data: runData(run, subject) };
  return closeIfOpen(deps, known, ref, { message: `${run.kind} ${run.id} reached the repository`, event });
}

function repositoryIncident(
  { repository, host }: Subject,
  kind: "repository.damaged" | "repository.unreachable",
): IncidentRef {
  return { kind, host: host.id, repository: repository.id };
}

function failingIncident({ binding, repository, host }: Subject, { run }: RunReport): IncidentRef {
  const of = { host: host.id, repository: repository.id, detail: run.kind };
  if (binding === null) return { kind: "repository.failing", ...of };
  return { kind: "binding.failing", binding: binding.id, ...of };
}

interface EventDraft {
  readonly type: EventType;
  readonly data: Record<string, unknown>;
}

function openOnce(
  deps: Deps,
  known: KnownIncidents,
  ref: IncidentRef,
  incident: { summary: string; event: EventDraft },
): Statement[] {
  const key = incidentKey(ref);
  if (known.open.has(key)) return [];
  known.open.set(key, ref.host);
  return openIncident(deps, ref, incident);
}

/** @param incident its event is null: close it without a notification */
export function closeIfOpen(
  deps: Deps,
  known: KnownIncidents,
  ref: IncidentRef,
  incident: { message: string; event: EventDraft | null },
): Statement[] {
  const key = incidentKey(ref);
  if (!known.wereOpen.has(key)) known.absent.add(key);
  return known.open.delete(key) ? closeIncident(deps, ref, incident) : [];
}

const SUSPICIOUS = { kind: "binding.suspicious" } as const;

import { and, inArray, isNull, or } from "drizzle-orm";
import type { EventType } from "../../../shared/event.ts";
import type { RunFailureCode } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood } from "../../../shared/run.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import type { ScheduledBinding } from "../lateness/expected-backup.ts";
import { closeIncident, incidentKey, openIncident, type IncidentRef } from "../incidents/incidents.ts";
import { runData, type NamedBinding } from "../run-data.ts";
import { type Streaks, updateStreak } from "./streaks.ts";
import { updateSourceCheck, suspiciousSourceData, type SourceCheck } from "./source-checks.ts";

/** Open incidents that a run may close, by key; each with the host that it is of. */
export type OpenIncidents = Map<string, Id | null>;

export interface IncidentContext {
  readonly streaks: Streaks;
  readonly sourceChecks: Map<Id, SourceCheck>;
  readonly openIncidents: OpenIncidents;
}

interface Subject {
  /** Null for what is done to a repository as a whole. */
  readonly binding: (NamedBinding & ScheduledBinding) | null;
  readonly repository: { readonly id: Id; readonly name: string };
  readonly host: { readonly id: Id; readonly name: string };
}

/** One statement that reads what is open of these bindings, of their repositories, and of these repositories. */
export function readOpenIncidents({ db }: Pick<Deps, "db">, bindingIds: readonly Id[], repositoryIds: readonly Id[]) {
  const ofBindings = db
    .select({ id: bindings.repository })
    .from(bindings)
    .where(inArray(bindings.id, [...bindingIds]));
  return db
    .select({ key: incidents.key, host: incidents.host })
    .from(incidents)
    .where(
      and(
        isNull(incidents.closedAt),
        or(
          inArray(incidents.binding, [...bindingIds]),
          inArray(incidents.repository, [...repositoryIds]),
          inArray(incidents.repository, ofBindings),
        ),
      ),
    );
}

/**
 * For the batch that takes a report: what is wrong since this run, and what is well again; keeps what it is given up to date. Each is told
 * once: a kind of run that fails, a repository that is damaged or can't be reached, sources that look wrong, and a run with warnings
 * after one without.
 * @returns nothing when there is nothing to tell
 */
export function planIncidents(deps: Deps, known: IncidentContext, subject: Subject, report: RunReport): Statement[] {
  const sources = planSourceIncident(deps, known, subject, report);
  const { run } = report;
  const change = updateStreak(known.streaks, run);
  if (change === null) return sources;
  const data = runData(run, subject);
  if (!isGood(run.state)) {
    const reached = hasReachedRepository(run.failure?.code) ? closeUnreachable(deps, known, subject, report) : [];
    const isEnough = change.failures >= (subject.binding?.settings.alerts.failures ?? 1);
    return [...sources, ...reached, ...(isEnough ? openFailureIncident(deps, known, { subject, report, data }) : [])];
  }
  const failing = failingIncident(subject, report);
  const about = { host: subject.host.id, binding: subject.binding?.id ?? null, repository: subject.repository.id };
  const isFirstWarned = run.state === "warned" && report.suspicious === null && !isBadOrWarned(change.before);
  return [
    ...sources,
    ...(isFirstWarned ? [enqueue(deps, { type: "run.warned", data, subject: about })] : []),
    ...closeIfOpen(deps, known, failing, {
      message: `${run.kind} ${run.id} ended well`,
      event: { type: "run.recovered", data: { ...data, failedSince: change.failedSince } },
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

/** What of it is wrong by this failure: the repository as a whole, whoever notices first, or else this kind of run. */
function openFailureIncident(
  deps: Deps,
  known: IncidentContext,
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
  known: IncidentContext,
  { binding, host }: Subject,
  report: RunReport,
): Statement[] {
  const sourceCheck = updateSourceCheck(known.sourceChecks, report);
  if (sourceCheck === null || binding === null) return [];
  const ref: IncidentRef = {
    kind: "binding.suspicious",
    host: host.id,
    binding: binding.id,
    repository: binding.repository.id,
  };
  const data = suspiciousSourceData(report, { binding, host });
  if (!sourceCheck.isSuspicious) {
    const event = { type: "source.recovered" as const, data };
    return closeIfOpen(deps, known, ref, { message: `backup ${report.run.id} found them as usual`, event: event });
  }
  const summary = `the sources of binding "${binding.name}" on host "${host.name}" look wrong: ${sourceCheck.reason}`;
  const event = { type: "source.suspicious" as const, data: { reason: sourceCheck.reason, ...data } };
  return openOnce(deps, known, ref, { summary, event });
}

/** What else fails is no word on whether the repository was reached. */
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

/** Only by the host that could not: another that reaches it has another way there. */
function closeUnreachable(deps: Deps, known: IncidentContext, subject: Subject, { run }: RunReport): Statement[] {
  const trouble = repositoryIncident(subject, "repository.unreachable");
  if (known.openIncidents.get(incidentKey(trouble)) !== subject.host.id) return [];
  const event = { type: "repository.recovered" as const, data: runData(run, subject) };
  return closeIfOpen(deps, known, trouble, { message: `${run.kind} ${run.id} reached it`, event: event });
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
  known: IncidentContext,
  trouble: IncidentRef,
  incident: { summary: string; event: EventDraft },
): Statement[] {
  const key = incidentKey(trouble);
  if (known.openIncidents.has(key)) return [];
  known.openIncidents.set(key, trouble.host);
  return openIncident(deps, trouble, incident);
}

function closeIfOpen(
  deps: Deps,
  known: IncidentContext,
  trouble: IncidentRef,
  incident: { message: string; event: EventDraft },
): Statement[] {
  return known.openIncidents.delete(incidentKey(trouble)) ? closeIncident(deps, trouble, incident) : [];
}

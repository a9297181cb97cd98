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
import type { Watched } from "../lateness/expected.ts";
import { closeIncident, keyOf, openIncident, type Trouble } from "../incidents/incidents.ts";
import { runData, type NamedBinding } from "../run-data.ts";
import { type Streaks, turnOf } from "./streaks.ts";
import { sightOf, suspicionData, type Sight } from "./suspicions.ts";

/** Open incidents that a run may close, by key; each with the host that it is of. */
export type OpenIncidents = Map<string, Id | null>;

export interface Outcomes {
  readonly streaks: Streaks;
  readonly sights: Map<Id, Sight>;
  readonly open: OpenIncidents;
}

interface Subject {
  /** Null for what is done to a repository as a whole. */
  readonly binding: (NamedBinding & Watched) | null;
  readonly repository: { readonly id: Id; readonly name: string };
  readonly host: { readonly id: Id; readonly name: string };
}

/** One statement that reads what is open of these bindings, of their repositories, and of these repositories. */
export function readOpen({ db }: Pick<Deps, "db">, bindingIds: readonly Id[], repositoryIds: readonly Id[]) {
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
export function tellOutcome(deps: Deps, known: Outcomes, subject: Subject, report: RunReport): Statement[] {
  const sources = tellSources(deps, known, subject, report);
  const { run } = report;
  const turn = turnOf(known.streaks, run);
  if (turn === null) return sources;
  const data = runData(run, subject);
  if (!isGood(run.state)) {
    const reached = hasReached(run.failure?.code) ? closeUnreachable(deps, known, subject, report) : [];
    const isEnough = turn.failures >= (subject.binding?.settings.alerts.failures ?? 1);
    return [...sources, ...reached, ...(isEnough ? openFor(deps, known, { subject, report, data }) : [])];
  }
  const failing = ofRuns(subject, report);
  const about = { host: subject.host.id, binding: subject.binding?.id ?? null, repository: subject.repository.id };
  const isFirstWarned = run.state === "warned" && report.suspicious === null && !isBadOrWarned(turn.before);
  return [
    ...sources,
    ...(isFirstWarned ? [enqueue(deps, { type: "run.warned", data, about })] : []),
    ...close(deps, known, failing, {
      message: `${run.kind} ${run.id} ended well`,
      told: { type: "run.recovered", data: { ...data, failedSince: turn.failedSince } },
    }),
    ...closeUnreachable(deps, known, subject, report),
    ...(run.kind === "check"
      ? close(deps, known, ofRepository(subject, "repository.damaged"), {
          message: `check ${run.id} found no damage`,
          told: { type: "repository.recovered", data },
        })
      : []),
  ];
}

function isBadOrWarned(state: string | null): boolean {
  return state === "failed" || state === "interrupted" || state === "warned";
}

/** What of it is wrong by this failure: the repository as a whole, whoever notices first, or else this kind of run. */
function openFor(
  deps: Deps,
  known: Outcomes,
  { subject, report, data }: { subject: Subject; report: RunReport; data: Record<string, unknown> },
): Statement[] {
  const { kind, failure, state } = report.run;
  const { binding, repository, host } = subject;
  const why = failure?.message ?? state;
  if (failure?.code === "repository.damaged") {
    const summary = `repository "${repository.name}" is damaged: ${why}`;
    const told = { type: "repository.check_failed" as const, data };
    return open(deps, known, ofRepository(subject, "repository.damaged"), { summary, told });
  }
  if (failure?.code === "repository.unreachable") {
    const summary = `repository "${repository.name}" can't be reached from host "${host.name}": ${why}`;
    const told = { type: "repository.unreachable" as const, data };
    return open(deps, known, ofRepository(subject, "repository.unreachable"), { summary, told });
  }
  const what = binding === null ? `repository "${repository.name}"` : `binding "${binding.name}"`;
  const summary = `${kind} of ${what} on host "${host.name}" ${state === "interrupted" ? "was interrupted" : "failed"}: ${why}`;
  return open(deps, known, ofRuns(subject, report), { summary, told: { type: "run.failed", data } });
}

function tellSources(deps: Deps, known: Outcomes, { binding, host }: Subject, report: RunReport): Statement[] {
  const sight = sightOf(known.sights, report);
  if (sight === null || binding === null) return [];
  const trouble: Trouble = {
    kind: "binding.suspicious",
    host: host.id,
    binding: binding.id,
    repository: binding.repository.id,
  };
  const data = suspicionData(report, { binding, host });
  if (!sight.isSuspicious) {
    const told = { type: "source.recovered" as const, data };
    return close(deps, known, trouble, { message: `backup ${report.run.id} found them as usual`, told });
  }
  const summary = `the sources of binding "${binding.name}" on host "${host.name}" look wrong: ${sight.reason}`;
  const told = { type: "source.suspicious" as const, data: { reason: sight.reason, ...data } };
  return open(deps, known, trouble, { summary, told });
}

/** What else fails is no word on whether the repository was reached. */
function hasReached(code: RunFailureCode | undefined): boolean {
  return code !== undefined && REACHED.includes(code);
}

const REACHED: readonly RunFailureCode[] = [
  "repository.locked",
  "repository.swapped",
  "repository.wrong_passphrase",
  "repository.full",
  "repository.damaged",
];

/** Only by the host that could not: another that reaches it has another way there. */
function closeUnreachable(deps: Deps, known: Outcomes, subject: Subject, { run }: RunReport): Statement[] {
  const trouble = ofRepository(subject, "repository.unreachable");
  if (known.open.get(keyOf(trouble)) !== subject.host.id) return [];
  const told = { type: "repository.recovered" as const, data: runData(run, subject) };
  return close(deps, known, trouble, { message: `${run.kind} ${run.id} reached it`, told });
}

function ofRepository({ repository, host }: Subject, kind: "repository.damaged" | "repository.unreachable"): Trouble {
  return { kind, host: host.id, repository: repository.id };
}

function ofRuns({ binding, repository, host }: Subject, { run }: RunReport): Trouble {
  const of = { host: host.id, repository: repository.id, detail: run.kind };
  if (binding === null) return { kind: "repository.failing", ...of };
  return { kind: "binding.failing", binding: binding.id, ...of };
}

interface Telling {
  readonly type: EventType;
  readonly data: Record<string, unknown>;
}

function open(deps: Deps, known: Outcomes, trouble: Trouble, telling: { summary: string; told: Telling }): Statement[] {
  const key = keyOf(trouble);
  if (known.open.has(key)) return [];
  known.open.set(key, trouble.host);
  return openIncident(deps, trouble, telling);
}

function close(
  deps: Deps,
  known: Outcomes,
  trouble: Trouble,
  telling: { message: string; told: Telling },
): Statement[] {
  return known.open.delete(keyOf(trouble)) ? closeIncident(deps, trouble, telling) : [];
}

import { and, eq, inArray, sql } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import { instant } from "../../../shared/ids.ts";
import type { Refusal, Report, RunReport } from "../../../shared/report.ts";
import { isGood, isOver } from "../../../shared/run.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts, refusals } from "../../db/schema/hosts.ts";
import { runs } from "../../db/schema/runs.ts";
import { guard, withRetry, writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import { maintainingHost } from "../contracts/assignments.ts";
import { scheduledBindingColumns, type ScheduledBinding } from "../lateness/expected-backup.ts";
import { recordGoodBackup } from "./good-backups.ts";
import { firstFutureId } from "../ids.ts";
import { Failure } from "../../../shared/failure.ts";
import { closeAnsweredOrders } from "../runs/orders.ts";
import { readOpenIncidents, planIncidents, type IncidentContext } from "./incidents.ts";
import type { NamedBinding } from "../run-data.ts";
import { countedBytes, enforceQuota, type Reported, weightOf } from "./quota.ts";
import { pokeHostsOfRepository } from "../revisions.ts";
import { saveEngineIds } from "./engine-ids.ts";
import { reconcileSnapshots } from "./snapshots.ts";
import { forgetAfterBackup } from "../runs/upkeep.ts";
import { readStreaks } from "./streaks.ts";
import { readSourceChecks } from "./source-checks.ts";

interface ReportingHost {
  readonly id: Id;
  readonly name: string;
}

/**
 * Saves a host's reports of runs and refusals, all of one POST in one batch. Reports arrive at least once: an older or
 * repeated one changes nothing and is accepted. A report of another host's run or binding is not accepted. Throws
 * `request.quota_exceeded` when the host has reported more than it may.
 * @returns ids of the accepted reports: the host may delete them
 */
export async function acceptReports(
  deps: Deps,
  host: ReportingHost,
  reports: readonly Report[],
): Promise<{ accepted: Id[] }> {
  const written = await withRetry(async () => {
    const known = await readKnown(deps, host, reports);
    await enforceQuota(deps, host, known.reported);
    const now = deps.clock.now();
    const plan = planReports(deps, host, known, reports);
    await writeAll(deps.db, [
      // Of two concurrent POSTs of a host only one sends notifications; the other starts again.
      guard(
        deps.db,
        sql`exists (select 1 from ${hosts} where ${and(eq(hosts.id, host.id), eq(hosts.reportCount, known.reportCount))})`,
      ),
      deps.db
        .update(hosts)
        .set({
          reportCount: sql`${hosts.reportCount} + 1`,
          lastSeenAt: instant(now),
          reportedBytes: Math.ceil(countedBytes(known.reported, now) + plan.weight),
          reportedSince: instant(now),
        })
        .where(eq(hosts.id, host.id)),
      ...plan.statements,
      ...(await saveEngineIds(deps, plan.engineIds)),
    ]);
    return plan;
  });
  if (written.notifications > 0) deps.wakeOutbox();
  for (const repository of written.engineIds.keys()) await pokeHostsOfRepository(deps, repository);
  for (const binding of written.forgets) await forgetAfterBackup(deps, binding).catch(ignoreFailure);
  return { accepted: written.accepted };
}

/** The backup is accepted all the same: the next one's retention does its work. */
function ignoreFailure(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
}

type KnownBinding = NamedBinding &
  ScheduledBinding & {
    host: Id;
    engineId: string | null;
    identifiedBy: Id;
    listedBy: Id | null;
    appendOnly: boolean;
  };

interface KnownState extends IncidentContext {
  reportCount: number;
  reported: Reported;
  bindings: Map<Id, KnownBinding>;
  /** Repositories that the host uses and that have a run as a whole in the reports. */
  repositories: Map<Id, { id: Id; name: string; engineId: string | null }>;
  runs: Map<Id, { host: Id; sequence: number }>;
  refusals: Map<Id, { host: Id }>;
}

interface Plan {
  accepted: Id[];
  statements: Statement[];
  /** Of the reports that are saved, in bytes. */
  weight: number;
  notifications: number;
  /** Engine ids that these reports made known, by repository. */
  engineIds: Map<Id, string>;
  /** Bindings to append-only repositories that have a new good backup. */
  forgets: Set<Id>;
}

async function readKnown(deps: Deps, host: ReportingHost, reports: readonly Report[]): Promise<KnownState> {
  const { db } = deps;
  const ofRuns = reports.filter((report) => report.type === "run");
  const bindingIds = [...new Set(ofRuns.flatMap(({ run }) => run.binding ?? []))];
  const repositoryIds = [...new Set(ofRuns.flatMap(({ run }) => (run.binding === null ? (run.repository ?? []) : [])))];
  const [[self], bound, stored, existing, refused, streaks, sourceChecks, open] = await db.batch([
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
      .where(inArray(bindings.id, bindingIds)),
    db
      .selectDistinct({ id: repositories.id, name: repositories.name, engineId: repositories.engineId })
      .from(repositories)
      .innerJoin(bindings, eq(bindings.repository, repositories.id))
      .where(and(inArray(repositories.id, repositoryIds), eq(bindings.host, host.id))),
    db
      .select({ id: runs.id, host: runs.host, sequence: runs.sequence })
      .from(runs)
      .where(
        inArray(
          runs.id,
          ofRuns.map(({ run }) => run.id),
        ),
      ),
    db
      .select({ id: refusals.id, host: refusals.host })
      .from(refusals)
      .where(
        inArray(
          refusals.id,
          reports.filter((report) => report.type === "refusal").map(({ id }) => id),
        ),
      ),
    readStreaks(deps, host.id, { bindings: bindingIds, repositories: repositoryIds }),
    readSourceChecks(deps, bindingIds),
    readOpenIncidents(deps, bindingIds, repositoryIds),
  ]);
  return {
    reportCount: self?.reportCount ?? -1,
    reported: { bytes: self?.bytes ?? 0, since: self?.since ?? null },
    bindings: new Map(bound.map((row) => [row.id, row])),
    runs: new Map(existing.map((row) => [row.id, row])),
    refusals: new Map(refused.map((row) => [row.id, row])),
    repositories: new Map(stored.map((row) => [row.id, row])),
    streaks: new Map(streaks.map((row) => [`${row.subject} ${row.kind}`, row])),
    sourceChecks: new Map(sourceChecks.map((row) => [row.binding, row])),
    openIncidents: new Map(open.map(({ key, host: of }) => [key, of])),
  };
}

/** Oldest run first, whatever order they came in, so that every change of state is seen. */
function planReports(deps: Deps, host: ReportingHost, known: KnownState, reports: readonly Report[]): Plan {
  const plan: Plan = {
    accepted: [],
    statements: [],
    weight: 0,
    notifications: 0,
    engineIds: new Map(),
    forgets: new Set(),
  };
  const ofRuns = reports.filter((report) => report.type === "run");
  ofRuns.sort((a, b) => (a.run.id === b.run.id ? a.sequence - b.sequence : a.run.id < b.run.id ? -1 : 1));
  for (const report of ofRuns) planRun(deps, host, known, plan, report);
  for (const report of reports) if (report.type === "refusal") planRefusal(deps, host, known, plan, report);
  plan.accepted = [...new Set(plan.accepted)];
  return plan;
}

function planRun(deps: Deps, host: ReportingHost, known: KnownState, plan: Plan, report: RunReport): void {
  const { run, sequence } = report;
  const binding = run.binding === null ? undefined : known.bindings.get(run.binding);
  const existing = known.runs.get(run.id);
  if ((existing?.host ?? host.id) !== host.id) return;
  // A run of another host's binding is accepted only for an ordered restore, or forget of what the host maintains.
  const isForeign = binding !== undefined && binding.host !== host.id;
  if (isForeign && (existing === undefined || (run.kind !== "restore" && run.kind !== "forget"))) return;
  plan.accepted.push(run.id);
  if (existing !== undefined && existing.sequence >= sequence) return;
  known.runs.set(run.id, { host: host.id, sequence });
  plan.weight += weightOf(report);
  plan.statements.push(upsert(deps, host, report), closeAnsweredOrders(deps, run.id, run.state));
  if (binding?.appendOnly === true && run.kind === "backup" && run.state === "succeeded") plan.forgets.add(binding.id);
  if (binding !== undefined && !isForeign) planBinding(deps, host, plan, { binding, report });
  const repository =
    binding?.repository ?? (run.repository === null ? undefined : known.repositories.get(run.repository));
  // A run of a deleted object is stored, without a notification.
  if (repository === undefined || (run.binding !== null && binding === undefined)) return;
  const incidentStatements = planIncidents(deps, known, { binding: binding ?? null, repository, host }, report);
  plan.notifications += incidentStatements.length;
  plan.statements.push(...incidentStatements);
}

/** Saves what a binding's run reports: the engine id, the good backup, the list of snapshots. */
function planBinding(
  deps: Deps,
  host: ReportingHost,
  plan: Plan,
  { binding, report }: { binding: KnownBinding; report: RunReport },
): void {
  const { run } = report;
  const { id: repository } = binding.repository;
  // Of a shared repository only the host that maintains it says what it is: for the others it would be "swapped".
  const isTeller = binding.identifiedBy === host.id && !plan.engineIds.has(repository);
  if (report.engineId !== null && binding.engineId === null && isTeller)
    plan.engineIds.set(repository, report.engineId);
  if (run.kind === "backup" && isGood(run.state))
    plan.statements.push(...recordGoodBackup(deps, host, { binding, run }));
  // A list from a run whose id lies in the future (clock was ahead) must not block newer lists.
  const isListedAhead = binding.listedBy !== null && binding.listedBy >= firstFutureId(deps);
  if (report.snapshots !== null && (isListedAhead || (binding.listedBy ?? "") <= run.id)) {
    binding.listedBy = run.id;
    const of = { host: host.id, binding: binding.id, repository };
    const made = run.kind === "backup" && run.snapshot !== null ? { run: run.id, snapshot: run.snapshot } : null;
    plan.statements.push(...reconcileSnapshots(deps, of, report.snapshots, made));
    plan.statements.push(deps.db.update(bindings).set({ listedBy: run.id }).where(eq(bindings.id, binding.id)));
  }
}

function upsert(deps: Deps, host: ReportingHost, { run, sequence, log, suspicious }: RunReport): Statement {
  const { id, binding, repository, kind, trigger, queuedAt, ...reported } = run;
  const heardAt = instant(deps.clock.now());
  const now = {
    ...reported,
    sequence,
    log,
    suspicious,
    heardAt,
    progressAt: heardAt,
    ...(isOver(run.state) ? { progress: null } : {}),
  };
  return deps.db
    .insert(runs)
    .values({ id, host: host.id, binding, repository, kind, trigger, queuedAt, ...now })
    .onConflictDoUpdate({
      target: runs.id,
      set: now,
      setWhere: sql`${runs.sequence} < ${sequence} and ${runs.host} = ${host.id}`,
    });
}

function planRefusal(deps: Deps, host: ReportingHost, known: KnownState, plan: Plan, refusal: Refusal): void {
  const { id, at, code, subject, message } = refusal;
  const existing = known.refusals.get(id);
  if (existing !== undefined && existing.host !== host.id) return;
  plan.accepted.push(id);
  if (existing !== undefined) return;
  known.refusals.set(id, { host: host.id });
  plan.weight += weightOf(refusal);
  plan.notifications++;
  const who = { id: host.id, name: host.name };
  plan.statements.push(
    deps.db.insert(refusals).values({ id, host: host.id, at, code, subject, message }),
    enqueue(deps, {
      type: "host.policy_refused",
      data: { host: who, code, subject, message, at },
      subject: { host: host.id },
    }),
  );
}

import { and, eq, sql } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import { instant } from "../../../shared/ids.ts";
import type { Refusal, Report, RunReport } from "../../../shared/report.ts";
import { isGood } from "../../../shared/run.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { hosts, refusals } from "../../db/schema/hosts.ts";
import { runs } from "../../db/schema/runs.ts";
import { guard, withRetry, writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import { pokeHostsOfRepository } from "../revisions.ts";
import { closeAnsweredOrders } from "../runs/orders.ts";
import { forgetAfterBackup } from "../runs/upkeep.ts";
import { saveEngineIds } from "./engine-ids.ts";
import { takeGoodBackup } from "./good-backups.ts";
import { areAbsent, planIncidents } from "./incidents.ts";
import { type KnownBinding, type KnownState, readKnown, type ReportingHost } from "./known.ts";
import { addRun, keepNewestRuns } from "./newest-runs.ts";
import { countedBytes, enforceQuota, weightOf } from "./quota.ts";
import { planSnapshots } from "./snapshots.ts";

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
    const isAsRead = and(eq(hosts.id, host.id), eq(hosts.reportCount, known.reportCount));
    await writeAll(deps.db, [
      // Of two concurrent POSTs of a host only one sends notifications; the other starts again. So it does when a sweep
      // has meanwhile opened an incident that these reports close.
      guard(deps.db, sql`exists (select 1 from ${hosts} where ${isAsRead}) and ${areAbsent(known.incidents.absent)}`),
      deps.db
        .update(hosts)
        .set({
          reportCount: sql`${hosts.reportCount} + 1`,
          lastSeenAt: instant(now),
          reportedBytes: Math.ceil(countedBytes(known.reported, now) + plan.weight),
          reportedSince: instant(now),
        })
        .where(eq(hosts.id, host.id)),
      ...saveRuns(deps, host, plan.runs),
      ...plan.statements,
      ...changeBindings(deps, plan.bindings),
      ...keepNewestRuns(deps, known.newest),
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

type BindingChange = Partial<Pick<typeof bindings.$inferSelect, "goodAt" | "alertAt" | "listedBy" | "listChecksum">>;

interface Plan {
  accepted: Id[];
  /** The reports that are saved, oldest first. */
  runs: RunReport[];
  /** What they change of bindings. */
  bindings: Map<Id, BindingChange>;
  statements: Statement[];
  /** Of the reports that are saved, in bytes. */
  weight: number;
  notifications: number;
  /** Engine ids that these reports made known, by repository. */
  engineIds: Map<Id, string>;
  /** Bindings to append-only repositories that have a new good backup. */
  forgets: Set<Id>;
}

/** Oldest run first, whatever order they came in, so that every change of state is seen. */
function planReports(deps: Deps, host: ReportingHost, known: KnownState, reports: readonly Report[]): Plan {
  const plan: Plan = {
    accepted: [],
    runs: [],
    bindings: new Map(),
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
  known.runs.set(run.id, { host: host.id, sequence, state: run.state });
  plan.weight += weightOf(report);
  plan.runs.push(report);
  if (binding?.appendOnly === true && run.kind === "backup" && run.state === "succeeded") plan.forgets.add(binding.id);
  if (binding !== undefined && !isForeign) planBinding(deps, host, known, plan, { binding, report });
  const repository =
    binding?.repository ?? (run.repository === null ? undefined : known.repositories.get(run.repository));
  // A run of a deleted object is stored, without a notification.
  if (repository === undefined || (run.binding !== null && binding === undefined)) return;
  const change = addRun(known.newest, report, existing?.state ?? null);
  const subject = { binding: binding ?? null, repository, host };
  planNotifications(plan, planIncidents(deps, known.incidents, subject, { report, change }));
}

function planNotifications(plan: Plan, statements: readonly Statement[]): void {
  plan.notifications += statements.length;
  plan.statements.push(...statements);
}

/** Saves what a binding's run reports: the engine id, the good backup, the list of snapshots. */
function planBinding(
  deps: Deps,
  host: ReportingHost,
  known: KnownState,
  plan: Plan,
  { binding, report }: { binding: KnownBinding; report: RunReport },
): void {
  const { run } = report;
  const { id: repository } = binding.repository;
  // Of a shared repository only the host that maintains it says what it is: for the others it would be "swapped".
  const isTeller = binding.identifiedBy === host.id && !plan.engineIds.has(repository);
  if (report.engineId !== null && binding.engineId === null && isTeller)
    plan.engineIds.set(repository, report.engineId);
  const change: BindingChange = plan.bindings.get(binding.id) ?? {};
  const good =
    run.kind === "backup" && isGood(run.state) ? takeGoodBackup(deps, known.incidents, host, { binding, run }) : null;
  if (good !== null) {
    Object.assign(change, { goodAt: good.goodAt, alertAt: instant(deps.clock.now()) });
    planNotifications(plan, good.closings);
  }
  // A list from a run whose id lies in the future (clock was ahead) must not block newer lists.
  const isListedAhead = binding.listedBy !== null && binding.listedBy >= known.newest.firstFuture;
  if (report.snapshots !== null && (isListedAhead || (binding.listedBy ?? "") <= run.id)) {
    const made = run.kind === "backup" && run.snapshot !== null ? { run: run.id, snapshot: run.snapshot } : null;
    const of = { host: host.id, binding: binding.id, repository, listChecksum: binding.listChecksum };
    const { listChecksum, statements } = planSnapshots(deps, of, report.snapshots, made);
    plan.statements.push(...statements);
    Object.assign(binding, { listedBy: run.id, listChecksum });
    Object.assign(change, { listedBy: run.id, listChecksum });
  }
  if (Object.keys(change).length > 0) plan.bindings.set(binding.id, change);
}

function changeBindings({ db }: Deps, changes: Plan["bindings"]): Statement[] {
  return [...changes].map(([id, change]) => {
    const { goodAt, ...rest } = change;
    const latest = goodAt ? { goodAt: sql`max(coalesce(${bindings.goodAt}, ''), ${goodAt})` } : {};
    return db
      .update(bindings)
      .set({ ...rest, ...latest })
      .where(eq(bindings.id, id));
  });
}

/** Saves runs as reported, and closes the orders that they answer: two statements, however many they are. */
function saveRuns(deps: Deps, host: ReportingHost, reports: readonly RunReport[]): Statement[] {
  if (reports.length === 0) return [];
  const heardAt = instant(deps.clock.now());
  const rows = reports.map(({ run, sequence, log, suspicious }) => ({
    ...run,
    host: host.id,
    sequence,
    log,
    suspicious,
    heardAt,
    progressAt: heardAt,
  }));
  return [
    deps.db
      .insert(runs)
      .values(rows)
      .onConflictDoUpdate({
        target: runs.id,
        set: AS_REPORTED,
        setWhere: sql`${runs.sequence} < excluded.sequence and ${runs.host} = ${host.id}`,
      }),
    closeAnsweredOrders(
      deps,
      reports.map(({ run }) => run),
    ),
  ];
}

/** What a later report changes of a run; it stays of the same binding, kind and trigger. */
const CHANGING = [
  "state",
  "scheduledAt",
  "startedAt",
  "finishedAt",
  "snapshot",
  "failure",
  "warnings",
  "stats",
  "plan",
  "items",
  "suspicious",
  "sequence",
  "log",
  "heardAt",
  "progressAt",
] satisfies (keyof typeof runs.$inferSelect)[];
const AS_REPORTED = {
  ...Object.fromEntries(CHANGING.map((name) => [name, sql.raw(`excluded."${name}"`)])),
  progress: sql`case when excluded.state in ('queued', 'running') then ${runs.progress} end`,
};

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

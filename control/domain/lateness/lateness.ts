import { and, asc, eq, inArray, isNotNull, lte, type SQL, sql } from "drizzle-orm";
import type { EventType } from "../../../shared/event.ts";
import { type Id, instant } from "../../../shared/ids.ts";
import { canonicalJson } from "../../../shared/json.ts";
import type { ExpectedBackup } from "../../../shared/lateness.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { newestRuns } from "../../db/schema/runs.ts";
import { writeInParts, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { isGood } from "../../../shared/run.ts";
import { expectedBackupAfter, isNewestBackup, nextExpectedBackup, scheduledBindingColumns } from "./expected-backup.ts";
import { closeIncident, openIncident, type IncidentRef } from "../incidents/incidents.ts";
import { hear, isSilent, type Heard } from "./last-heard.ts";

/** A running backup is checked again after this time: by then it has made progress or is stuck. */
const RECHECK_RUNNING_MS = 30 * 60_000;
const RECHECK_OFFLINE_MS = 15 * 60_000;
const BATCH_SIZE = 100;
/** The rest waits for the next sweep. */
const MAX_BATCHES = 5;

/** The incidents of a missing backup. The next good backup closes them. */
export const MISSING_BACKUP_INCIDENTS: readonly Pick<IncidentRef, "kind" | "detail">[] = [
  { kind: "binding.late" },
  { kind: "binding.unprotected" },
  { kind: "binding.stuck", detail: "backup" },
];

/** For every batch that changes what lateness depends on: the next sweep checks these bindings again. */
export function scheduleLatenessCheck(deps: Pick<Deps, "db" | "clock">, which: SQL | undefined): Statement {
  return deps.db
    .update(bindings)
    .set({ alertAt: instant(deps.clock.now()) })
    .where(which);
}

type Scheduled = Pick<typeof bindings.$inferSelect, "settings" | "paused">;

/**
 * For the batch that changes a binding. A changed or resumed schedule starts fresh: it has missed nothing yet. When it
 * is turned off, its incidents of missing backups close.
 */
export function restartExpectation(
  deps: Deps,
  { old, now }: { old: Scheduled; now: Scheduled & { id: Id; host: Id } },
): Statement[] {
  const isSameSchedule = scheduleOf(old) === scheduleOf(now);
  if (isSameSchedule && old.settings.alerts.grace === now.settings.alerts.grace) return [];
  const at = instant(deps.clock.now());
  const isOff = now.paused || !now.settings.enable;
  return [
    deps.db
      .update(bindings)
      .set({ alertAt: at, ...(isSameSchedule || isOff ? {} : { expectedSince: at }) })
      .where(eq(bindings.id, now.id)),
    ...(isOff ? closeMissingBackupIncidents(deps, now, NOT_EXPECTED) : []),
  ];
}

/** For the batch with a good backup, or after which none is expected: closes the incidents of missing backups. */
export function closeMissingBackupIncidents(
  deps: Deps,
  binding: { id: Id; host: Id },
  end: { message: string; data: Record<string, unknown> | null },
): Statement[] {
  const event = end.data === null ? null : { type: "backup.recovered" as const, data: end.data };
  return MISSING_BACKUP_INCIDENTS.flatMap((what) =>
    closeIncident(deps, { ...what, host: binding.host, binding: binding.id }, { message: end.message, event }),
  );
}

/** SQL: whether a binding's `alertAt` has passed. */
export function isLatenessDue(now: number): SQL {
  return sql`exists (select 1 from ${bindings} where ${lte(bindings.alertAt, instant(now))})`;
}

/**
 * Checks the bindings whose `alertAt` has passed, and opens incidents for late ones. Safe concurrently: it writes by
 * compare-and-set.
 */
export async function sweepLateBackups(deps: Deps): Promise<void> {
  const now = deps.clock.now();
  for (let left = MAX_BATCHES; left > 0; left--) {
    const due = await select(deps)
      .where(lte(bindings.alertAt, instant(now)))
      .orderBy(asc(bindings.alertAt))
      .limit(BATCH_SIZE);
    // What needs no answer of the hub is decided first: it has only a few.
    const open = due.filter((row) => assessLateness(deps, row, new Map()) === null);
    const heard = await hear(
      deps,
      open.map(({ presence }) => presence),
    );
    const assessments = due.map((row) => assessLateness(deps, row, heard));
    await writeInParts(
      deps.db,
      assessments.map((assessment, index) => {
        const row = due[index];
        return row === undefined || assessment === null ? [] : statementsOf(deps, row, assessment);
      }),
    );
    if (assessments.some((assessment) => assessment?.is === "late")) deps.wakeOutbox();
    if (due.length < BATCH_SIZE || assessments.includes(null)) return;
  }
}

/**
 * For the batches that close host.offline: late bindings get their full grace again, so that the host can catch up.
 * @returns the statements by host
 */
export async function restartGrace(deps: Deps, back: readonly Id[]): Promise<Map<Id, Statement[]>> {
  const now = deps.clock.now();
  const rows = await select(deps).where(and(inArray(bindings.host, [...back]), isNotNull(bindings.alertAt)));
  const statements = new Map<Id, Statement[]>(back.map((host) => [host, []]));
  for (const row of rows) {
    const expected = nextExpectedBackup(row);
    if (expected === null || expected.lateAt > now) continue;
    const alertAt = instant(now + expected.lateAt - expected.dueAt);
    statements.get(row.host.id)?.push(deps.db.update(bindings).set({ alertAt }).where(isUnchanged(row)));
  }
  return statements;
}

type Row = Awaited<ReturnType<typeof select>>[number];

/** `alertAt`: when to check again, in milliseconds since 1970. */
type Assessment =
  | { is: "off" }
  | { is: "on-time" | "excused"; alertAt: number }
  | { is: "late"; alertAt: number | null; expected: ExpectedBackup };

function select({ db }: Pick<Deps, "db">) {
  return db
    .select({
      ...scheduledBindingColumns,
      name: bindings.name,
      host: { id: hosts.id, name: hosts.name },
      contract: { id: contracts.id, name: contracts.name },
      repository: { id: repositories.id, name: repositories.name },
      alertAt: bindings.alertAt,
      changedAt: bindings.changedAt,
      presence: { id: hosts.id, connectionId: hosts.connectionId, lastSeenAt: hosts.lastSeenAt },
      offlineAfterSeconds: hosts.offlineAfterSeconds,
      offlineAt: hosts.offlineAt,
      revokedAt: hosts.revokedAt,
      running: newestRuns.running,
      lastState: newestRuns.state,
      triedAt: newestRuns.triedAt,
    })
    .from(bindings)
    .innerJoin(hosts, eq(hosts.id, bindings.host))
    .innerJoin(contracts, eq(contracts.id, bindings.contract))
    .innerJoin(repositories, eq(repositories.id, bindings.repository))
    .leftJoin(newestRuns, isNewestBackup);
}

/** @returns null: the hub has to be asked about its host, and was not yet */
function assessLateness(deps: Deps, row: Row, heard: Heard): Assessment | null {
  const now = deps.clock.now();
  const expected = row.revokedAt === null ? nextExpectedBackup(row) : null;
  if (expected === null) return { is: "off" };
  if (expected.lateAt > now) return { is: "on-time", alertAt: expected.lateAt };
  if (row.running !== null) return { is: "excused", alertAt: now + RECHECK_RUNNING_MS };
  // A failed attempt has its own incident, binding.failing. The backup is late only when the attempts stop.
  const hasTried = row.triedAt !== null && row.lastState !== null && !isGood(row.lastState);
  const expectedAfterAttempt =
    row.triedAt === null || !hasTried ? null : expectedBackupAfter(row, Math.min(Date.parse(row.triedAt), now));
  if (expectedAfterAttempt !== null && expectedAfterAttempt.lateAt > now)
    return { is: "excused", alertAt: expectedAfterAttempt.lateAt };
  // An offline host has one incident of its own. Its bindings get a new grace when it is back.
  const silent =
    row.offlineAfterSeconds === null ? false : row.offlineAt !== null || isSilent(deps, row.presence, heard);
  if (silent === null) return null;
  if (silent) return { is: "excused", alertAt: now + RECHECK_OFFLINE_MS };
  return { is: "late", alertAt: expectedBackupAfter(row, now)?.lateAt ?? null, expected };
}

function statementsOf(deps: Deps, row: Row, assessment: Assessment): Statement[] {
  const alertAt = assessment.is === "off" || assessment.alertAt === null ? null : instant(assessment.alertAt);
  const next = deps.db.update(bindings).set({ alertAt }).where(isUnchanged(row));
  switch (assessment.is) {
    case "off":
      return [...closeMissingBackupIncidents(deps, { id: row.id, host: row.host.id }, NOT_EXPECTED), next];
    case "on-time":
    case "excused":
      return [next];
    case "late":
      return [
        ...openIncident(
          deps,
          {
            kind: row.goodAt === null ? "binding.unprotected" : "binding.late",
            host: row.host.id,
            binding: row.id,
            repository: row.repository.id,
          },
          {
            ...lateIncident(row, assessment.expected),
            when: sql`exists (select 1 from ${bindings} where ${isUnchanged(row)})`,
          },
        ),
        next,
      ];
  }
}

function scheduleOf({ paused, settings }: Scheduled): string {
  const { enable, zone, timerConfig } = settings;
  const { AccuracySec: _none, Persistent: _afterwards, ...times } = timerConfig;
  return canonicalJson([paused, enable, zone, times]);
}

function isUnchanged({ id, alertAt, goodAt, expectedSince, changedAt }: Row): SQL | undefined {
  return and(
    eq(bindings.id, id),
    sql`${bindings.alertAt} is ${alertAt}`,
    sql`${bindings.goodAt} is ${goodAt}`,
    sql`${bindings.expectedSince} is ${expectedSince}`,
    eq(bindings.changedAt, changedAt),
  );
}

const NOT_EXPECTED = { message: "no backup is expected anymore", data: null };

function lateIncident(row: Row, { dueAt, lateAt }: ExpectedBackup) {
  const { id, name, contract, repository, host, goodAt } = row;
  const type: EventType = goodAt === null ? "backup.unprotected" : "backup.late";
  const which = `binding "${name}" on host "${host.name}"`;
  const summary =
    goodAt === null
      ? `${which} has no good backup yet; the first was due ${instant(dueAt)}`
      : `${which} is late: no good backup since ${goodAt}, and one was due ${instant(dueAt)}`;
  const about = { binding: { id, name }, contract, repository, host };
  const data = { ...about, dueAt: instant(dueAt), lateAt: instant(lateAt), lastGoodAt: goodAt };
  return { summary, event: { type, data } };
}

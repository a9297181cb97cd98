import { type SQL, sql } from "drizzle-orm";
import type { Instant } from "../shared/ids.ts";
import { vitals } from "./db/schema/service.ts";
import type { Deps } from "./deps.ts";
import { expireEnrollments, isEnrollmentDue } from "./domain/hosts/enrollments.ts";
import { isCloneDue, sweepClones } from "./domain/hosts/instances.ts";
import { isReminderDue, isSettlingDue, remindOfIncidents, settleIncidents } from "./domain/incidents/sweep.ts";
import { isLatenessDue, sweepLateBackups } from "./domain/lateness/lateness.ts";
import { isQuotaDue, sweepQuotas } from "./domain/reports/quota.ts";
import { expireOrders, isOrderDue } from "./domain/runs/orders.ts";
import { type Housekeeping, housekeepingColumns, removeDue } from "./domain/service/housekeeping.ts";
import { turnOfHost } from "./domain/service/row-counts.ts";
import { hasRefusedRows, sweepRows } from "./domain/service/row-sweep.ts";
import { recordVital } from "./domain/service/vitals.ts";
import { type Recorded, recordVitals } from "./domain/vitals.ts";
import { isClockDue, sweepClockSkew } from "./domain/watch/clock-skew.ts";
import { isOfflineDue, sweepOfflineHosts } from "./domain/watch/offline.ts";
import { isStuckDue, sweepStuck } from "./domain/watch/stuck.ts";
import { isLatenessKnown } from "./domain/watch/sweep.ts";
import { readUptime, upSinceOf, uptimeVitals } from "./domain/watch/uptime.ts";
import { dispatch, outboxColumns, type OutboxState } from "./notify/dispatch.ts";

/** What is done when it is due by time. Each step is bounded, and goes on in the next sweep. */
interface Step {
  readonly isDue: (deps: Deps) => SQL;
  /** @param upSince in milliseconds since 1970 */
  readonly run: (deps: Deps, upSince: number) => Promise<unknown>;
}

const byClock = (isDue: (now: number) => SQL) => (deps: Deps) => isDue(deps.clock.now());

const STEPS: readonly Step[] = [
  { isDue: byClock(isOfflineDue), run: sweepOfflineHosts },
  { isDue: isClockDue, run: sweepClockSkew },
  { isDue: isStuckDue, run: sweepStuck },
  {
    isDue: byClock(isLatenessDue),
    run: async (deps, upSince) => (isLatenessKnown(deps, upSince) ? sweepLateBackups(deps) : undefined),
  },
  { isDue: byClock(isSettlingDue), run: settleIncidents },
  { isDue: byClock(isReminderDue), run: remindOfIncidents },
  { isDue: isQuotaDue, run: sweepQuotas },
  { isDue: isCloneDue, run: sweepClones },
  { isDue: byClock(isOrderDue), run: expireOrders },
  { isDue: byClock(isEnrollmentDue), run: expireEnrollments },
];

/** What one statement tells a sweep. */
interface Due extends Housekeeping, OutboxState {
  readonly listening: Instant | null;
  readonly watch: Instant | null;
  readonly rowsNext: string | null;
  readonly hasRefusedRows: number;
  /** Of each step, by its index. */
  readonly [step: `step${number}`]: number;
}

/** What is left to do after a sweep. */
export interface Swept {
  /** Notifications are to be sent now. */
  readonly isOutboxDue: boolean;
  /** When the next notification is due, in milliseconds since 1970; null when none waits. */
  readonly next: number | null;
}

/**
 * Runs everything that is due by time: health checks, quotas, clones, reminders, expiry of orders and enrolments,
 * housekeeping. One statement asks for all of it, so that a sweep with nothing to do costs the same for a thousand
 * hosts as for one. Safe at any time and concurrently. Only enqueues notifications, sends none.
 * A failing step does not stop the others, but the sweep is then not recorded as complete.
 * @param isSenderIdle nothing is being sent: when nothing is due either, the outbox has done its work
 * @throws Error with the messages of all failed steps
 */
export async function sweep(deps: Deps, isSenderIdle = false): Promise<Swept> {
  const failures: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> =>
    work().catch((error: unknown) => void failures.push(String(error)));
  let isWoken = false;
  const own = { ...deps, wakeOutbox: () => void (isWoken = true) };
  const known = await attempt(() => readDue(deps));
  const due = known ?? { ...ALL_DUE, ...(await attempt(() => readUptime(deps))) };
  const upSince = upSinceOf(deps, due);
  for (const [index, step] of STEPS.entries())
    if (known === undefined || known[`step${index}`] !== 0) {
      isWoken = true;
      await attempt(() => step.run(own, upSince));
    }
  const rowsNext = await attempt(() => sweepRows(own, due.rowsNext, due.hasRefusedRows !== 0));
  const isComplete = failures.length === 0;
  const turns = (await attempt(() => removeDue(deps, due))) ?? [];
  const isOutboxDue = isWoken || due.isOutboxDue !== 0;
  const recorded: Recorded[] = [
    ...uptimeVitals(deps, upSince),
    ...(isComplete ? [{ name: "sweep" as const }] : []),
    ...(rowsNext === undefined ? [] : [{ name: "rows" as const, next: rowsNext }]),
    ...(isSenderIdle && !isOutboxDue ? [{ name: "outbox" as const }] : []),
    ...turns,
  ];
  await attempt(() => recordVitals(deps, recorded));
  if (failures.length > 0) {
    if (isOutboxDue) deps.wakeOutbox();
    throw new Error(failures.join("; "));
  }
  return { isOutboxDue, next: due.outboxNext === null ? null : Date.parse(due.outboxNext) };
}

/** The statement that asks what is due. */
function dueQuery(deps: Deps): SQL {
  const now = deps.clock.now();
  const steps = STEPS.map(({ isDue }, index) => sql`${isDue(deps)} as ${sql.identifier(`step${index}`)}`);
  const vital = (name: string, column: string) =>
    sql`(select ${sql.identifier(column)} from ${vitals} where ${vitals.name} = ${name})`;
  return sql`with ${turnOfHost} select ${vital("listening", "at")} as listening, ${vital("watch", "at")} as watch,
    ${vital("rows", "next")} as "rowsNext", ${hasRefusedRows()} as "hasRefusedRows",
    ${housekeepingColumns(now)}, ${outboxColumns(now)}, ${sql.join(steps, sql`, `)}`;
}

async function readDue(deps: Deps): Promise<Due> {
  return deps.db.get<Due>(dueQuery(deps));
}

/** When it could not be read: every step is tried by itself. */
const ALL_DUE: Due = {
  listening: null,
  watch: null,
  rowsNext: null,
  hasRefusedRows: 1,
  hasExpired: 1,
  hasOldRuns: 0,
  walkedAt: null,
  walkNext: null,
  turnHost: null,
  isTurnDue: 0,
  isOutboxDue: 1,
  outboxNext: null,
};

/**
 * Sends the notifications that are due, and records that the outbox works.
 * @returns when the next notification is due, in milliseconds since 1970; null when none waits
 */
export async function sendDue(deps: Deps): Promise<number | null> {
  const next = await dispatch(deps);
  await recordVital(deps, "outbox");
  return next;
}

/** For a cron trigger: sweeps, then sends what is due even when the sweep failed. Returns what `sendDue` does. */
export async function tick(deps: Deps): Promise<number | null> {
  // Nothing else is to send meanwhile.
  const [swept] = await Promise.allSettled([sweep({ ...deps, wakeOutbox: () => undefined }, true)]);
  if (swept.status === "fulfilled" && !swept.value.isOutboxDue) return swept.value.next;
  const next = await sendDue(deps);
  if (swept.status === "rejected") throw swept.reason;
  return next;
}

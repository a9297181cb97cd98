import { expireEnrollments } from "./domain/hosts/enrollments.ts";
import { sweepClones } from "./domain/hosts/instances.ts";
import { remindOfIncidents, settleIncidents } from "./domain/incidents/sweep.ts";
import { sweepQuotas } from "./domain/reports/quota.ts";
import { removeExpired } from "./domain/service/housekeeping.ts";
import { sweepRows } from "./domain/service/row-sweep.ts";
import { expireOrders } from "./domain/runs/orders.ts";
import { recordVital } from "./domain/service/vitals.ts";
import { sweepHealth } from "./domain/watch/sweep.ts";
import type { Deps } from "./deps.ts";
import { dispatch } from "./notify/dispatch.ts";

/**
 * Runs everything that is due by time: health checks, quotas, clones, reminders, expiry of orders and enrolments,
 * housekeeping. Safe at any time and concurrently. Only enqueues notifications, sends none.
 * A failing step does not stop the others, but the sweep is then not recorded as complete.
 * @throws Error with the messages of all failed steps
 */
export async function sweep(deps: Deps): Promise<void> {
  const failures: string[] = [];
  for (const step of STEPS) await step(deps).catch((error: unknown) => failures.push(String(error)));
  if (failures.length > 0) throw new Error(failures.join("; "));
  await recordVital(deps, "sweep");
  await removeExpired(deps);
}

const STEPS: readonly ((deps: Deps) => Promise<unknown>)[] = [
  sweepHealth,
  sweepRows,
  settleIncidents,
  remindOfIncidents,
  sweepQuotas,
  sweepClones,
  expireOrders,
  expireEnrollments,
];

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
  const [swept] = await Promise.allSettled([sweep(deps)]);
  const next = await sendDue(deps);
  if (swept.status === "rejected") throw swept.reason;
  return next;
}

import { expireEnrollments } from "./domain/hosts/enrollments.ts";
import { remindOfIncidents, settleIncidents } from "./domain/incidents/sweep.ts";
import { removeExpired } from "./domain/service/housekeeping.ts";
import { expireOrders } from "./domain/runs/orders.ts";
import { recordVital } from "./domain/service/vitals.ts";
import { sweepHealth } from "./domain/watch/sweep.ts";
import type { Deps } from "./deps.ts";
import { dispatch } from "./notify/dispatch.ts";

/**
 * What time alone makes due: orders nobody took, enrolments nobody used, what did not happen although it should have, incidents that
 * settled or are to be reminded of. Safe to run at any time and by several at once. What it puts into the outbox is not sent yet.
 * A step that fails holds no other one up, but the sweep is not noted as one that ran.
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
  settleIncidents,
  remindOfIncidents,
  expireOrders,
  expireEnrollments,
];

/**
 * Sends what is due, and notes that the outbox works.
 * @returns when the next notification is due, in milliseconds since 1970; null when none waits
 */
export async function sendDue(deps: Deps): Promise<number | null> {
  const next = await dispatch(deps);
  await recordVital(deps, "outbox");
  return next;
}

/** Both, one after the other, and the second whatever becomes of the first: what a cron trigger does. */
export async function tick(deps: Deps): Promise<number | null> {
  const [swept] = await Promise.allSettled([sweep(deps)]);
  const next = await sendDue(deps);
  if (swept.status === "rejected") throw swept.reason;
  return next;
}

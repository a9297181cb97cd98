import { expireEnrollments } from "./domain/enrollments.ts";
import { expireOrders } from "./domain/orders.ts";
import type { Deps } from "./deps.ts";
import { dispatch } from "./notify/outbox.ts";

/**
 * What time alone makes due: orders nobody took, enrolments nobody used, notifications not yet through. Safe to run at any
 * time and by several at once.
 * @returns when the next notification is due, in milliseconds since 1970; null when none waits
 */
export async function tick(deps: Deps): Promise<number | null> {
  await expireOrders(deps);
  await expireEnrollments(deps);
  return dispatch(deps);
}

import { and, eq, ne, type SQL, sql } from "drizzle-orm";
import { instant } from "../../shared/ids.ts";
import { channels, deliveries, NO_LEASE } from "../db/schema/notifications.ts";
import { type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

/** The result of one attempt to send a delivery. */
export interface DeliveryResult {
  /** The HTTP status, or the SMTP reply code of an e-mail; null when there was no answer. */
  readonly status: number | null;
  /** Null when it was delivered. Never contains the receiver's answer. */
  readonly error: string | null;
  /** Retry-After of the receiver. */
  readonly retryAfterSeconds?: number;
  /** The recipients an e-mail was accepted for, when not for all. */
  readonly reached?: readonly string[];
  /** Its host did not fetch it: when the host is back, the next attempt does not wait for its time. */
  readonly isMissed?: boolean;
}

type LeasedDelivery = Pick<typeof deliveries.$inferSelect, "id" | "channel" | "attempts" | "leaseOwner">;

/** Seconds before each attempt, counted from the previous attempt. After the last one the delivery fails. */
const RETRY_AFTER_SECONDS = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;
/** Up to 10 % longer at random, so that retries do not come all at once. */
const JITTER = 0.1;

/** @returns the error that an HTTP status means; null for success */
export function statusError(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400)
    return `answered ${status}: redirects are not followed, give the channel the final address`;
  if (status === 410) return "answered 410 (gone): the channel is disabled now";
  return `answered ${status}`;
}

/** Records an attempt in the delivery and its channel, in one batch. */
export async function recordAttempt(deps: Deps, delivery: LeasedDelivery, result: DeliveryResult): Promise<void> {
  await writeAll(deps.db, attemptStatements(deps, delivery, result));
}

/**
 * Statements for one batch that record an attempt in the delivery and its channel. They write nothing when the lease
 * has changed: then the new holder decides.
 */
export function attemptStatements(deps: Deps, delivery: LeasedDelivery, result: DeliveryResult): Statement[] {
  const { status, error, reached, isMissed = false } = result;
  const now = deps.clock.now();
  const attempts = delivery.attempts + 1;
  const delayMs = retryDelayMs(deps, attempts, result);
  const isOver = error === null || status === 410 || delayMs === null;
  const state = error === null ? "delivered" : isOver ? "failed" : "pending";
  const isOurs = holdsLease(delivery);
  if (error !== null) deps.log.error("notification delivery failed", { delivery: delivery.id, attempts, error });
  return [
    // Must come first: the update of the delivery clears the lease.
    deps.db
      .update(channels)
      .set({
        failures: error === null ? 0 : sql`${channels.failures} + 1`,
        lastStatus: status,
        lastError: error,
        ...(error === null ? { lastDeliveredAt: instant(now) } : {}),
      })
      .where(and(eq(channels.id, delivery.channel), sql`exists (select 1 from ${deliveries} where ${isOurs})`)),
    ...(status === 410 ? disableChannel(deps, delivery) : []),
    deps.db
      .update(deliveries)
      .set({
        state,
        attempts,
        lastStatus: status,
        lastError: error,
        ...NO_LEASE,
        relayState: isMissed && !isOver ? "missed" : null,
        nextAttemptAt: isOver || delayMs === null ? null : instant(now + delayMs),
        deliveredAt: state === "delivered" ? instant(now) : null,
        ...(reached === undefined ? {} : { reached: [...reached] }),
      })
      .where(isOurs),
  ];
}

/** Statements that fail a delivery for good, without an attempt. */
export function failDelivery({ db }: Pick<Deps, "db">, delivery: LeasedDelivery, error: string): Statement[] {
  const failed = { state: "failed", nextAttemptAt: null, lastError: error, ...NO_LEASE } as const;
  return [db.update(deliveries).set(failed).where(holdsLease(delivery))];
}

/** @returns milliseconds until the next attempt; null when there is none */
function retryDelayMs(
  { random }: Pick<Deps, "random">,
  attempts: number,
  { retryAfterSeconds = 0 }: DeliveryResult,
): number | null {
  const wait = RETRY_AFTER_SECONDS[attempts];
  if (wait === undefined) return null;
  const [chance = 0] = random(1);
  return Math.max(Math.round(wait * 1000 * (1 + (JITTER * chance) / 255)), retryAfterSeconds * 1000);
}

/** After status 410 (gone): disables the channel and fails its waiting deliveries. */
function disableChannel({ db, clock }: Deps, delivery: LeasedDelivery): Statement[] {
  const isOurs = sql`exists (select 1 from ${deliveries} where ${holdsLease(delivery)})`;
  const waiting = sql`${deliveries.state} in ('pending', 'held')`;
  return [
    db
      .update(channels)
      .set({ enabled: false, changedAt: instant(clock.now()) })
      .where(and(eq(channels.id, delivery.channel), isOurs)),
    db
      .update(deliveries)
      .set({ state: "failed", nextAttemptAt: null, lastError: "the channel is disabled" })
      .where(
        and(
          eq(deliveries.channel, delivery.channel),
          waiting,
          ne(deliveries.id, delivery.id),
          sql`not exists (select 1 from ${channels} where ${channels.id} = ${delivery.channel} and ${channels.enabled})`,
        ),
      ),
  ];
}

function holdsLease({ id, leaseOwner }: LeasedDelivery): SQL | undefined {
  return and(eq(deliveries.id, id), eq(deliveries.leaseOwner, leaseOwner ?? ""));
}

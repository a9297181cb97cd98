import { and, eq, ne, type SQL, sql } from "drizzle-orm";
import { instant } from "../../shared/ids.ts";
import { channels, deliveries, NO_LEASE } from "../db/schema/notifications.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

/** What came of one attempt. */
export interface DeliveryResult {
  /** The HTTP status of the answer (of an e-mail: the code of the server's reply); null when there was none. */
  readonly status: number | null;
  /** Null when it has arrived. Never what a receiver answered. */
  readonly error: string | null;
  /** How long the receiver wants to be left alone. */
  readonly retryAfterSeconds?: number;
  /** Of an e-mail that not everybody got: who did. */
  readonly reached?: readonly string[];
  /** Its host did not fetch it: when the host is back, the next attempt does not wait for its time. */
  readonly isMissed?: boolean;
}

type LeasedDelivery = Pick<typeof deliveries.$inferSelect, "id" | "channel" | "attempts" | "leaseOwner">;

/** Seconds between the attempt before (or the event) and each attempt. After the last one the delivery has failed. */
const RETRY_AFTER_SECONDS = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;
/** Longer by chance, by a tenth at most: what failed together does not come back together. */
const JITTER = 0.1;

/** @returns what is wrong with an answer of this status; null when nothing is */
export function statusError(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400)
    return `answered ${status}: redirects are not followed, give the channel the final address`;
  if (status === 410) return "answered 410 (gone): the channel is disabled now";
  return `answered ${status}`;
}

/**
 * Writes what came of an attempt, of the delivery and of its channel in one batch, but only while the lease is still the one it
 * was attempted under: whoever took over has the say.
 */
export async function recordAttempt(deps: Deps, delivery: LeasedDelivery, result: DeliveryResult): Promise<void> {
  const { status, error, reached, isMissed = false } = result;
  const now = deps.clock.now();
  const attempts = delivery.attempts + 1;
  const delayMs = retryDelayMs(deps, attempts, result);
  const isOver = error === null || status === 410 || delayMs === null;
  const state = error === null ? "delivered" : isOver ? "failed" : "pending";
  const isOurs = holdsLease(delivery);
  await deps.db.batch([
    // First: the lease is given back by what follows.
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
  ]);
  if (error !== null) deps.log.error("a notification was not delivered", { delivery: delivery.id, attempts, error });
}

/** For what can't be attempted at all. */
export async function failDelivery({ db }: Pick<Deps, "db">, delivery: LeasedDelivery, error: string): Promise<void> {
  await db
    .update(deliveries)
    .set({ state: "failed", nextAttemptAt: null, lastError: error, ...NO_LEASE })
    .where(holdsLease(delivery));
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

/** 410 means: never send here again. What still waits for this channel has failed with it. */
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

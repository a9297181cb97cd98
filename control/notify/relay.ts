import { and, asc, eq, gt, inArray, isNotNull, lte } from "drizzle-orm";
import type { RelayResult } from "../../shared/relay.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import { sign } from "../auth/sign.ts";
import { channels, deliveries } from "../db/schema/notifications.ts";
import type { Deps } from "../deps.ts";
import { type HttpTarget, requestOf } from "./kinds.ts";
import { recordAttempt, statusError } from "./delivery-result.ts";
import { buildMessage, secretsOf } from "./send.ts";

/*
 * A delivery of a channel with `via` goes through that host's agent, and only that one. Its `relayState` says how far it is.
 */

type Delivery = typeof deliveries.$inferSelect;

/** A delivery, given to a host. */
interface ClaimedDelivery {
  readonly delivery: Delivery;
  readonly channel: typeof channels.$inferSelect;
  readonly target: HttpTarget;
  readonly host: Id;
  readonly lease: Id;
}

/** An agent without a socket asks every five minutes. */
const FETCH_WITHIN_MS = 10 * 60_000;
/** Longer than sending takes (15 s), and then saying what came of it. */
const LEASE_MS = 60_000;
const BATCH_SIZE = 20;
const NOT_FETCHED = "its host has not come for it: is the host on, and its agent not older than the control plane?";
const NO_RESULT = "its host took it and has not said what came of it";

/** Rings the host that is to send what a dispatcher has claimed, and waits for it to come. */
export async function requestRelay(deps: Deps, delivery: Delivery, host: Id): Promise<void> {
  const now = deps.clock.now();
  await deps.db
    .update(deliveries)
    .set({
      leaseOwner: uuidv7(now, deps.random(16)),
      leaseUntil: instant(now + FETCH_WITHIN_MS),
      relayState: "requested",
    })
    .where(and(eq(deliveries.id, delivery.id), eq(deliveries.leaseOwner, delivery.leaseOwner ?? "")));
  await deps.hub.poke(host, "orders");
}

/** What no host came for, or said the end of, has failed this time: it is tried again like everything else. */
export async function failExpiredRelays(deps: Deps): Promise<void> {
  const expired = await deps.db
    .select()
    .from(deliveries)
    .where(
      and(
        isNotNull(deliveries.nextAttemptAt),
        lte(deliveries.leaseUntil, instant(deps.clock.now())),
        inArray(deliveries.relayState, ["requested", "fetched"]),
      ),
    )
    .limit(BATCH_SIZE);
  for (const delivery of expired) {
    const isMissed = delivery.relayState === "requested";
    await recordAttempt(deps, delivery, { status: null, error: isMissed ? NOT_FETCHED : NO_RESULT, isMissed });
  }
}

/** @returns what this host is to send now, each signed for it */
export async function claimRelayedDeliveries(deps: Deps, host: Id): Promise<{ deliveries: string[] }> {
  const relayChannels = await deps.db.select().from(channels).where(eq(channels.via, host));
  if (relayChannels.length === 0) return { deliveries: [] };
  await retryMissedRelays(deps, host);
  const now = deps.clock.now();
  const lease = uuidv7(now, deps.random(16));
  const ofHost = deps.db.select({ id: channels.id }).from(channels).where(eq(channels.via, host));
  const requested = deps.db
    .select({ id: deliveries.id })
    .from(deliveries)
    .where(
      and(
        isNotNull(deliveries.nextAttemptAt),
        eq(deliveries.relayState, "requested"),
        inArray(deliveries.channel, ofHost),
      ),
    )
    .orderBy(asc(deliveries.id))
    .limit(BATCH_SIZE);
  const claimed = await deps.db
    .update(deliveries)
    .set({ leaseOwner: lease, leaseUntil: instant(now + LEASE_MS), relayState: "fetched" })
    .where(inArray(deliveries.id, requested))
    .returning();
  const signed: string[] = [];
  for (const delivery of claimed) {
    const channel = relayChannels.find(({ id }) => id === delivery.channel);
    const { target } = channel ?? {};
    if (channel === undefined || target === undefined || target.kind === "email") continue;
    try {
      signed.push(await signRelayedDelivery(deps, { delivery, channel, target, host, lease }));
    } catch (error) {
      // What can't be made into a request must not keep the others from being sent.
      await recordAttempt(deps, delivery, { status: null, error: String(error) });
    }
  }
  return { deliveries: signed };
}

/** What came of deliveries that this host sent. Of one that is not its own any more nothing is believed. */
export async function recordRelayResults(deps: Deps, host: Id, results: readonly RelayResult[]): Promise<void> {
  for (const { id, lease, status, error, retryAfterSeconds } of results) {
    const [delivery] = await deps.db
      .select({
        id: deliveries.id,
        channel: deliveries.channel,
        attempts: deliveries.attempts,
        leaseOwner: deliveries.leaseOwner,
      })
      .from(deliveries)
      .innerJoin(channels, eq(channels.id, deliveries.channel))
      .where(
        and(
          eq(deliveries.id, id),
          eq(deliveries.leaseOwner, lease),
          eq(deliveries.relayState, "fetched"),
          eq(channels.via, host),
        ),
      );
    if (delivery === undefined) continue;
    const fault = status === null ? (error ?? "its host could not send it") : statusError(status);
    await recordAttempt(deps, delivery, { status, error: fault, retryAfterSeconds });
  }
  // What failed is due again sooner than the lease was.
  deps.wakeOutbox();
}

/** A host that is back does not wait for the next attempt of what it was not there for. */
async function retryMissedRelays(deps: Deps, host: Id): Promise<void> {
  const now = instant(deps.clock.now());
  const ofHost = deps.db.select({ id: channels.id }).from(channels).where(eq(channels.via, host));
  const retried = await deps.db
    .update(deliveries)
    .set({ nextAttemptAt: now })
    .where(
      and(gt(deliveries.nextAttemptAt, now), eq(deliveries.relayState, "missed"), inArray(deliveries.channel, ofHost)),
    )
    .returning({ id: deliveries.id });
  if (retried.length > 0) deps.wakeOutbox();
}

async function signRelayedDelivery(
  deps: Deps,
  { delivery, channel, target, host, lease }: ClaimedDelivery,
): Promise<string> {
  const now = deps.clock.now();
  const request = await requestOf(buildMessage(delivery, now), target, secretsOf(channel, now));
  const times = { issuedAt: instant(now), expiresAt: instant(now + LEASE_MS) };
  return sign(deps.signingKey, "delivery", { id: delivery.id, host, lease, ...times, request });
}

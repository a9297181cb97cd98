import { and, asc, eq, gt, inArray, isNotNull, lte } from "drizzle-orm";
import { seal } from "../../shared/age.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { RelayResult } from "../../shared/relay.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import { sign } from "../auth/sign.ts";
import { openTarget } from "../keys/channel-secrets.ts";
import { hosts } from "../db/schema/hosts.ts";
import { channels, deliveries } from "../db/schema/notifications.ts";
import { type Database, type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { type HttpTarget, requestOf } from "./kinds.ts";
import { attemptStatements, recordAttempt, statusError } from "./delivery-result.ts";
import { buildMessage, secretsOf } from "./send.ts";

/*
 * A channel with `via` is delivered by that host's agent and no other. The delivery's `relayState` is its progress.
 */

type Delivery = typeof deliveries.$inferSelect;

/** A delivery that a host has claimed. */
interface ClaimedDelivery {
  readonly delivery: Delivery;
  readonly channel: typeof channels.$inferSelect;
  readonly target: HttpTarget;
  readonly host: Id;
  /** The host's; null: its agent has none. */
  readonly recipient: string | null;
  readonly lease: Id;
}

/** An agent without a socket polls every five minutes. */
const FETCH_WITHIN_MS = 10 * 60_000;
/** Longer than sending (15 s) and reporting the result take. */
const LEASE_MS = 60_000;
const BATCH_SIZE = 20;
const NOT_FETCHED = "the host did not fetch it in time: is the host on, and its agent as new as the control plane?";
const NO_RESULT = "the host fetched it and reported no result";

/** The statement that requests a relay of a claimed delivery: then it waits until the host, poked, fetches it. */
export function requestRelay(deps: Deps, delivery: Delivery): Statement {
  const now = deps.clock.now();
  return deps.db
    .update(deliveries)
    .set({
      leaseOwner: uuidv7(now, deps.random(16)),
      leaseUntil: instant(now + FETCH_WITHIN_MS),
      relayState: "requested",
    })
    .where(and(eq(deliveries.id, delivery.id), eq(deliveries.leaseOwner, delivery.leaseOwner ?? "")));
}

/** The select of relays whose lease has expired. */
export function expiredRelays(db: Database, now: number) {
  return db
    .select()
    .from(deliveries)
    .where(
      and(
        isNotNull(deliveries.nextAttemptAt),
        lte(deliveries.leaseUntil, instant(now)),
        inArray(deliveries.relayState, ["requested", "fetched"]),
      ),
    )
    .limit(BATCH_SIZE);
}

/** Relays whose lease has expired count as a failed attempt, and are retried. */
export async function failExpiredRelays(deps: Deps, expired: readonly Delivery[]): Promise<void> {
  const statements = expired.flatMap((delivery) => {
    const isMissed = delivery.relayState === "requested";
    const error = isMissed ? NOT_FETCHED : NO_RESULT;
    return attemptStatements(deps, delivery, { status: null, error, isMissed });
  });
  await writeAll(deps.db, statements);
}

/** Claims the requested deliveries of this host. @returns them, each signed for the host */
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
  const [row] = await deps.db.select({ facts: hosts.facts }).from(hosts).where(eq(hosts.id, host));
  const recipient = row?.facts?.recipient ?? null;
  const signed: string[] = [];
  for (const delivery of claimed) {
    const channel = relayChannels.find(({ id }) => id === delivery.channel);
    if (channel === undefined) continue;
    try {
      const target = await openTarget(deps, channel);
      if (target.kind === "email") continue;
      signed.push(await signRelayedDelivery(deps, { delivery, channel, target, host, recipient, lease }));
    } catch (error) {
      // A request that can't be built must not block the others.
      await recordAttempt(deps, delivery, { status: null, error: messageOf(error) });
    }
  }
  return { deliveries: signed };
}

/** Records relay results. Results of a lease that the host no longer holds are ignored. */
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
    const fault = status === null ? (error ?? "the host could not send it") : statusError(status);
    await recordAttempt(deps, delivery, { status, error: fault, retryAfterSeconds });
  }
  // A failed delivery is due again before its lease would have expired.
  deps.wakeOutbox();
}

/** Makes the deliveries that a returning host has missed due at once. */
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

/** The request has the channel's secrets in it, so only the host can open it, whatever carries it there. */
async function signRelayedDelivery(
  deps: Deps,
  { delivery, channel, target, host, recipient, lease }: ClaimedDelivery,
): Promise<string> {
  const now = deps.clock.now();
  const request = await requestOf(buildMessage(delivery, now), target, await secretsOf(deps, channel, now));
  const times = { issuedAt: instant(now), expiresAt: instant(now + LEASE_MS) };
  const content = recipient === null ? { request } : { sealed: await seal([recipient], JSON.stringify(request)) };
  return sign(deps.signingKey, "delivery", { id: delivery.id, host, lease, ...times, ...content });
}

import { and, asc, eq, inArray, isNotNull, isNull, notInArray, or, sql } from "drizzle-orm";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import { channels, deliveries, NO_LEASE } from "../db/schema/notifications.ts";
import type { Deps } from "../deps.ts";
import { writeDigests } from "./digest.ts";
import { requestRelay, failExpiredRelays } from "./relay.ts";
import { failDelivery, recordAttempt } from "./delivery-result.ts";
import { holdForQuietHours, isRequested, isDue } from "./quiet-hours.ts";
import { send } from "./send.ts";

/** Longer than an attempt can take (15 s), so leases expire only after a crash. */
const LEASE_MS = 60_000;
const BATCH_SIZE = 20;

/**
 * Sends everything that is due. Deliveries are claimed by lease, so dispatchers may run concurrently. After a crash
 * they are sent again a minute later: a receiver may get a delivery twice, always under the same id.
 * @returns when the next attempt is due, in milliseconds since 1970; null when nothing is waiting
 */
export async function dispatch(deps: Deps): Promise<number | null> {
  for (;;) {
    await failExpiredRelays(deps);
    const quiet = await holdForQuietHours(deps);
    await writeDigests(deps, quiet);
    const claimed = await claim(deps, quiet);
    if (claimed.length === 0) return nextDue(deps);
    await Promise.all(claimed.map((delivery) => attempt(deps, delivery)));
  }
}

/**
 * For the start of a process with exclusive use of the database: releases the leases of dead dispatchers, but not those
 * of agents that relay.
 */
export async function releaseLeases({ db }: Pick<Deps, "db">): Promise<void> {
  await db
    .update(deliveries)
    .set(NO_LEASE)
    .where(and(isNotNull(deliveries.leaseOwner), isNull(deliveries.relayState)));
}

type Delivery = typeof deliveries.$inferSelect;

/** @param quiet channels in their quiet hours */
async function claim({ db, clock, random }: Deps, quiet: readonly Id[]): Promise<Delivery[]> {
  const now = clock.now();
  const due = db
    .select({ id: deliveries.id })
    .from(deliveries)
    .where(
      and(isDue(now), quiet.length === 0 ? undefined : or(notInArray(deliveries.channel, [...quiet]), isRequested())),
    )
    .orderBy(asc(deliveries.nextAttemptAt))
    .limit(BATCH_SIZE);
  return db
    .update(deliveries)
    .set({ leaseUntil: instant(now + LEASE_MS), leaseOwner: uuidv7(now, random(16)), relayState: null })
    .where(inArray(deliveries.id, due))
    .returning();
}

async function attempt(deps: Deps, delivery: Delivery): Promise<void> {
  const [channel] = await deps.db.select().from(channels).where(eq(channels.id, delivery.channel));
  const isTest = delivery.type === "channel.test";
  if (channel === undefined) return failDelivery(deps, delivery, "the channel was deleted");
  if (!channel.enabled && !isTest) return failDelivery(deps, delivery, "the channel is disabled");
  if (channel.via !== null) return requestRelay(deps, delivery, channel.via);
  await recordAttempt(deps, delivery, await send(deps, delivery, channel));
}

async function nextDue({ db }: Deps): Promise<number | null> {
  const due = sql<string>`max(${deliveries.nextAttemptAt}, coalesce(${deliveries.leaseUntil}, ''))`;
  const [[next], [digest]] = await db.batch([
    db.select({ at: due }).from(deliveries).where(isNotNull(deliveries.nextAttemptAt)).orderBy(due).limit(1),
    db
      .select({ at: channels.digestAt })
      .from(channels)
      .where(isNotNull(channels.digestAt))
      .orderBy(channels.digestAt)
      .limit(1),
  ]);
  const [first] = [next?.at, digest?.at].filter((at) => typeof at === "string").toSorted();
  return first === undefined ? null : Date.parse(first);
}

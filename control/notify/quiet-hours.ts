import { and, eq, isNotNull, isNull, lte, ne, or, type SQL, sql } from "drizzle-orm";
import { type Id, instant } from "../../shared/ids.ts";
import { quietUntil } from "../../shared/quiet-hours.ts";
import { channels, deliveries, NO_LEASE } from "../db/schema/notifications.ts";
import { type Database, type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

/** The select of the channels that have due deliveries which quiet hours hold. */
export function waitingChannels(db: Database, now: number) {
  return (
    db
      // The sign keeps SQLite from reading every channel's history in the order of its index.
      .selectDistinct({ channel: sql<Id>`+${deliveries.channel}` })
      .from(deliveries)
      .where(and(isDue(now), sql`not ${isRequested()}`))
  );
}

/**
 * Holds due deliveries of channels in their quiet hours until these are over. Must run before deliveries are claimed.
 * @param waiting channels with due deliveries
 * @returns the channels in their quiet hours: only deliveries a person requested may be sent to them
 */
export async function holdForQuietHours(
  deps: Pick<Deps, "db" | "clock">,
  all: readonly (typeof channels.$inferSelect)[],
  waiting: ReadonlySet<Id>,
): Promise<Id[]> {
  const now = deps.clock.now();
  const quiet: Id[] = [];
  for (const { id, quietHours, digestAt } of all) {
    const until = quietHours === null ? null : quietUntil(quietHours, now);
    if (until === null) continue;
    quiet.push(id);
    const isEndMoved = digestAt !== null && digestAt !== instant(until);
    if (isEndMoved || waiting.has(id)) await writeAll(deps.db, holdDeliveries(deps, id, until));
  }
  return quiet;
}

function holdDeliveries({ db, clock }: Pick<Deps, "db" | "clock">, channel: Id, until: number): Statement[] {
  const isOfChannel = and(eq(deliveries.channel, channel), isDue(clock.now()), sql`not ${isRequested()}`);
  const isDigest = eq(deliveries.type, "incident.digest");
  return [
    // A digest that could not be sent is postponed, not held.
    db
      .update(deliveries)
      .set({ nextAttemptAt: instant(until), ...NO_LEASE })
      .where(and(isOfChannel, isDigest)),
    db
      .update(deliveries)
      .set({ state: "held", nextAttemptAt: null, ...NO_LEASE })
      .where(isOfChannel),
    db
      .update(channels)
      .set({ digestAt: sql`case when ${hasHeldDeliveries()} then ${instant(until)} end` })
      .where(eq(channels.id, channel)),
  ];
}

/** SQL: whether the statement's channel has held deliveries. */
export function hasHeldDeliveries(): SQL {
  return sql`exists (select 1 from ${deliveries} where ${deliveries.channel} = ${channels.id} and ${deliveries.state} = 'held')`;
}

/**
 * SQL: whether a delivery is due and not leased. One that was never attempted is always due: the clock may have been
 * ahead when it was written.
 */
export function isDue(now: number): SQL | undefined {
  const isNew = and(
    isNotNull(deliveries.nextAttemptAt),
    eq(deliveries.attempts, 0),
    ne(deliveries.type, "incident.digest"),
  );
  return and(
    or(lte(deliveries.nextAttemptAt, instant(now)), isNew),
    or(isNull(deliveries.leaseUntil), lte(deliveries.leaseUntil, instant(now))),
  );
}

/** SQL: whether a person requested the delivery (a test or a retry): quiet hours do not hold it. */
export function isRequested(): SQL {
  return sql`(${deliveries.isAsked} or ${deliveries.type} = 'channel.test')`;
}

import { and, eq, isNotNull, isNull, lte, ne, or, type SQL, sql } from "drizzle-orm";
import { type Id, instant } from "../../shared/ids.ts";
import { quietUntil } from "../../shared/quiet-hours.ts";
import { channels, deliveries, NO_LEASE } from "../db/schema/notifications.ts";
import { type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

/**
 * Holds back what is due for channels in their quiet hours, until those are over. Comes before anything is claimed.
 * @returns the channels in their quiet hours: for them only what somebody asked for is sent
 */
export async function holdForQuietHours(deps: Pick<Deps, "db" | "clock">): Promise<Id[]> {
  const now = deps.clock.now();
  const [rows, waiting] = await deps.db.batch([
    deps.db
      .select({ id: channels.id, quietHours: channels.quietHours, digestAt: channels.digestAt })
      .from(channels)
      .where(isNotNull(channels.quietHours)),
    deps.db
      // The sign keeps SQLite from reading every channel's history in the order of its index.
      .selectDistinct({ channel: sql<Id>`+${deliveries.channel}` })
      .from(deliveries)
      .where(and(isDue(now), sql`not ${isRequested()}`)),
  ]);
  const quiet: Id[] = [];
  for (const { id, quietHours, digestAt } of rows) {
    const until = quietHours === null ? null : quietUntil(quietHours, now);
    if (until === null) continue;
    quiet.push(id);
    const isEndMoved = digestAt !== null && digestAt !== instant(until);
    if (isEndMoved || waiting.some(({ channel }) => channel === id))
      await writeAll(deps.db, holdDeliveries(deps, id, until));
  }
  return quiet;
}

function holdDeliveries({ db, clock }: Pick<Deps, "db" | "clock">, channel: Id, until: number): Statement[] {
  const isOfChannel = and(eq(deliveries.channel, channel), isDue(clock.now()), sql`not ${isRequested()}`);
  const isDigest = eq(deliveries.type, "incident.digest");
  return [
    // A digest that did not get through waits for itself.
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

/** Whether the channel of the statement has anything that is held. */
export function hasHeldDeliveries(): SQL {
  return sql`exists (select 1 from ${deliveries} where ${deliveries.channel} = ${channels.id} and ${deliveries.state} = 'held')`;
}

/** Its time has come, and nobody is sending it. What was never tried is due in any case: a clock may have been ahead when it was written. */
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

export function isRequested(): SQL {
  return sql`(${deliveries.isAsked} or ${deliveries.type} = 'channel.test')`;
}

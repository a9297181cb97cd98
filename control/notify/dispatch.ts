import { and, asc, inArray, isNotNull, isNull, notInArray, or, type SQL, sql } from "drizzle-orm";
import { type Id, type Instant, instant, uuidv7 } from "../../shared/ids.ts";
import { channels, deliveries, IS_NEW, NO_LEASE } from "../db/schema/notifications.ts";
import { type Database, type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { writeDigests } from "./digest.ts";
import { expiredRelays, failExpiredRelays, requestRelay } from "./relay.ts";
import { attemptStatements, failDelivery } from "./delivery-result.ts";
import { holdForQuietHours, isRequested, isDue, waitingChannels } from "./quiet-hours.ts";
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
    const { all, waiting, expired } = await readRound(deps);
    await failExpiredRelays(deps, expired);
    const quiet = await holdForQuietHours(deps, all, waiting);
    await writeDigests(
      deps,
      all.filter(({ id, digestAt }) => digestAt !== null && !quiet.includes(id)),
    );
    const claimed = await claim(deps, quiet);
    if (claimed.length === 0) return nextDue(deps);
    const write = groupWrites(deps.db);
    const byId = new Map(all.map((channel) => [channel.id, channel]));
    await Promise.all(
      claimed.map(async (delivery) => write(await attempt(deps, delivery, byId.get(delivery.channel)))),
    );
    const asked = new Set(claimed.map(({ channel }) => byId.get(channel)?.via ?? null));
    for (const host of asked) if (host !== null) await deps.hub.poke(host, "orders");
  }
}

/** All channels, those with due deliveries, and the relays whose lease has expired: with one call. */
async function readRound({ db, clock }: Deps) {
  const [all, waiting, expired] = await db.batch([
    db.select().from(channels),
    waitingChannels(db, clock.now()),
    expiredRelays(db, clock.now()),
  ]);
  return { all, waiting: new Set(waiting.map(({ channel }) => channel)), expired };
}

/** @returns what writes statements: all that come while it is writing go into the next batch together */
function groupWrites(db: Database): (statements: readonly Statement[]) => Promise<void> {
  let waiting: Statement[] = [];
  let writing: Promise<void> | null = null;
  const writeWaiting = async (): Promise<void> => {
    while (waiting.length > 0) {
      const now = waiting;
      waiting = [];
      await writeAll(db, now);
    }
    writing = null;
  };
  return (statements) => {
    waiting.push(...statements);
    return (writing ??= writeWaiting());
  };
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
type Channel = typeof channels.$inferSelect;

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

/** @returns the statements that record it */
async function attempt(deps: Deps, delivery: Delivery, channel: Channel | undefined): Promise<Statement[]> {
  const isTest = delivery.type === "channel.test";
  if (channel === undefined) return failDelivery(deps, delivery, "the channel was deleted");
  if (!channel.enabled && !isTest) return failDelivery(deps, delivery, "the channel is disabled");
  if (channel.via !== null) return [requestRelay(deps, delivery)];
  return attemptStatements(deps, delivery, await send(deps, delivery, channel));
}

/** What the outbox reads to know whether anything is to be done: the columns of one row. */
export interface OutboxState {
  readonly isOutboxDue: number;
  readonly outboxNext: Instant | null;
}

/** SQL: the columns of `OutboxState`, for a select. */
export function outboxColumns(now: number): SQL {
  const at = instant(now);
  const isFree = sql`(${deliveries.leaseUntil} is null or ${deliveries.leaseUntil} <= ${at})`;
  const ofDeliveries = (what: SQL, where: SQL) => sql`(select ${what} from ${deliveries} where ${where})`;
  const isPast = sql`${deliveries.nextAttemptAt} <= ${at}`;
  return sql`(exists ${ofDeliveries(sql`1`, sql`${isPast} and ${isFree}`)}
    or exists ${ofDeliveries(sql`1`, sql`${IS_NEW} and ${deliveries.nextAttemptAt} > ${at} and ${isFree}`)}
    or exists (select 1 from ${channels} where ${channels.digestAt} is not null)) as "isOutboxDue",
    nullif(min(coalesce(${ofDeliveries(sql`min(${deliveries.nextAttemptAt})`, sql`${deliveries.nextAttemptAt} > ${at}`)}, '~'),
      coalesce(${ofDeliveries(sql`min(${deliveries.leaseUntil})`, sql`${isPast} and ${deliveries.leaseUntil} > ${at}`)}, '~'),
      coalesce((select min(${channels.digestAt}) from ${channels}), '~')), '~') as "outboxNext"`;
}

async function nextDue({ db, clock }: Pick<Deps, "db" | "clock">): Promise<number | null> {
  const { outboxNext } = await db.get<OutboxState>(sql`select ${outboxColumns(clock.now())}`);
  return outboxNext === null ? null : Date.parse(outboxNext);
}

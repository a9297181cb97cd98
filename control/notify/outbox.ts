import { and, asc, eq, inArray, isNotNull, isNull, lte, or, SQL, sql } from "drizzle-orm";
import { bindings, hosts } from "../db/schema.ts";
import { channels, deliveries } from "../db/telling.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { giveUp, record } from "./outcome.ts";
import { send } from "./send.ts";
import type { EventType } from "../../shared/event.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";

export interface Notice {
  readonly type: EventType;
  /** SQL: an expression that gives it as JSON, in the batch. */
  readonly data: Record<string, unknown> | SQL;
  /** What it is told instead of: who wants to hear of that hears of this. */
  readonly insteadOf?: EventType | undefined;
  /** Whom it is about: channels choose by it. Left out: nobody in particular. */
  readonly about?: { readonly host: Id | null; readonly binding?: Id | null; readonly incident?: Id | SQL | null };
}

/** Longer than an attempt can take (15 s), so only a crash leaves one to expire. */
const LEASE_MS = 60_000;
const AT_ONCE = 20;

/**
 * One delivery for every enabled channel that is subscribed, as one statement for the batch that changes the state it
 * tells of. Call `deps.wakeOutbox()` once the batch is through.
 * @param when evaluated in that batch: nothing is written unless it holds
 */
export function enqueue(deps: Pick<Deps, "db" | "clock">, notice: Notice, when: SQL = sql`1`): Statement {
  return insertFor(deps, notice, sql`${channels.enabled} and ${isChosen(notice)} and (${when})`);
}

/** One delivery for this channel, whatever it is subscribed to: somebody asked for it. */
export function enqueueTo(deps: Pick<Deps, "db" | "clock">, channel: Id, notice: Notice): Statement {
  return insertFor(deps, notice, sql`${channels.id} = ${channel}`);
}

/**
 * Sends everything that is due, by lease: any number of dispatchers may run at once, and what one that crashed had claimed
 * is sent again a minute later. So a receiver may see a delivery twice, always under the same id.
 * @returns when the next attempt is due, in milliseconds since 1970; null when nothing is waiting
 */
export async function dispatch(deps: Deps): Promise<number | null> {
  for (;;) {
    const claimed = await claim(deps);
    if (claimed.length === 0) return nextDue(deps);
    await Promise.all(claimed.map((delivery) => attempt(deps, delivery)));
  }
}

/** Whether a channel wants to hear of it: of this type, this host, and a host or binding with one of its labels. */
function isChosen({ type, insteadOf = type, about }: Notice): SQL {
  const { host = null, binding = null } = about ?? {};
  const labelled = sql`select label.value from ${hosts}, json_each(${hosts.labels}) as label where ${hosts.id} = ${host}
    union select label.value from ${bindings}, json_each(${bindings.labels}) as label where ${bindings.id} = ${binding}`;
  return sql`(${channels.events} is null or exists (select 1 from json_each(${channels.events}) where value in (${type}, ${insteadOf})))
    and (${channels.hosts} is null or exists (select 1 from json_each(${channels.hosts}) where value = ${host}))
    and (${channels.labels} is null or exists (select 1 from json_each(${channels.labels}) where value in (${labelled})))`;
}

type Delivery = typeof deliveries.$inferSelect;

/** The ids are made in SQL, since only SQL knows how many channels there are at that moment. */
function insertFor({ db, clock }: Pick<Deps, "db" | "clock">, notice: Notice, where: SQL): Statement {
  const now = clock.now();
  const at = instant(now);
  const data = notice.data instanceof SQL ? notice.data : JSON.stringify(notice.data);
  const payload = sql`json_object('type', ${notice.type}, 'timestamp', ${at}, 'data', json(${data}))`;
  const time = now.toString(16).padStart(12, "0");
  const id = sql`lower(${`${time.slice(0, 8)}-${time.slice(8)}-7`} || substr(hex(randomblob(2)), 2) || '-' ||
    substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`;
  return db.run(sql`insert into ${deliveries} (id, channel, incident, type, payload, state, attempts, "nextAttemptAt", "createdAt")
    select ${id}, ${channels.id}, ${notice.about?.incident ?? null}, ${notice.type}, ${payload}, 'pending', 0, ${at}, ${at} from ${channels} where ${where}`);
}

async function claim({ db, clock, random }: Deps): Promise<Delivery[]> {
  const now = clock.now();
  const due = db
    .select({ id: deliveries.id })
    .from(deliveries)
    .where(
      and(
        lte(deliveries.nextAttemptAt, instant(now)),
        or(isNull(deliveries.leaseUntil), lte(deliveries.leaseUntil, instant(now))),
      ),
    )
    .orderBy(asc(deliveries.nextAttemptAt))
    .limit(AT_ONCE);
  return db
    .update(deliveries)
    .set({ leaseUntil: instant(now + LEASE_MS), leaseOwner: uuidv7(now, random(16)) })
    .where(inArray(deliveries.id, due))
    .returning();
}

async function attempt(deps: Deps, delivery: Delivery): Promise<void> {
  const [channel] = await deps.db.select().from(channels).where(eq(channels.id, delivery.channel));
  const asked = delivery.type === "channel.test";
  if (channel === undefined) return giveUp(deps, delivery, "the channel was deleted");
  if (!channel.enabled && !asked) return giveUp(deps, delivery, "the channel is disabled");
  await record(deps, delivery, await send(deps, delivery, channel));
}

async function nextDue({ db }: Deps): Promise<number | null> {
  const due = sql<string>`max(${deliveries.nextAttemptAt}, coalesce(${deliveries.leaseUntil}, ''))`;
  const [next] = await db
    .select({ at: due })
    .from(deliveries)
    .where(isNotNull(deliveries.nextAttemptAt))
    .orderBy(due)
    .limit(1);
  return next === undefined ? null : Date.parse(next.at);
}

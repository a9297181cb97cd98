import { SQL, sql } from "drizzle-orm";
import { bindings } from "../db/schema/contracts.ts";
import { hosts } from "../db/schema/hosts.ts";
import { channels, deliveries } from "../db/schema/notifications.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import type { EventType } from "../../shared/event.ts";
import { type Id, instant } from "../../shared/ids.ts";

export interface OutboxEvent {
  readonly type: EventType;
  /** SQL: an expression that gives it as JSON, in the batch. */
  readonly data: Record<string, unknown> | SQL;
  /** What it is told instead of: who wants to hear of that hears of this. */
  readonly insteadOf?: EventType | undefined;
  /** Whom it is about: channels choose by it. Left out: nobody in particular. */
  readonly subject?: EventSubject;
}

/** Given: the binding; else the repository as a whole; else the host as a whole. */
export interface EventSubject {
  readonly host: Id | null;
  readonly binding?: Id | null;
  readonly repository?: Id | null;
  readonly incident?: Id | SQL | null;
}

/**
 * One delivery for every enabled channel that is subscribed, as one statement for the batch that changes the state it
 * tells of. Call `deps.wakeOutbox()` once the batch is through.
 * @param when evaluated in that batch: nothing is written unless it holds
 */
export function enqueue(deps: Pick<Deps, "db" | "clock">, notice: OutboxEvent, when: SQL = sql`1`): Statement {
  return insertDeliveries(deps, notice, sql`${channels.enabled} and ${isSubscribed(notice)} and (${when})`);
}

/** One delivery for this channel, whatever it is subscribed to: somebody asked for it. */
export function enqueueTo(
  deps: Pick<Deps, "db" | "clock">,
  channel: Id,
  notice: OutboxEvent,
  when: SQL = sql`1`,
): Statement {
  return insertDeliveries(deps, notice, sql`${channels.id} = ${channel} and (${when})`);
}

/**
 * Whether a channel wants to hear of it: of this type, of one of its hosts, and of a host or a binding with one of its labels. What is
 * about a host or a repository as a whole is about each of its bindings too: they have no notification of their own then.
 */
function isSubscribed({ type, insteadOf = type, subject: about }: OutboxEvent): SQL {
  const { host = null, binding = null, repository = null } = about ?? {};
  const isAffectedBinding =
    binding !== null
      ? sql`${bindings.id} = ${binding}`
      : repository !== null
        ? sql`${bindings.repository} = ${repository}`
        : sql`${bindings.host} = ${host}`;
  const affectedHosts = sql`select ${host} union select ${bindings.host} from ${bindings} where ${isAffectedBinding}`;
  const labelled = sql`select label.value from ${hosts}, json_each(${hosts.labels}) as label where ${hosts.id} in (${affectedHosts})
    union select label.value from ${bindings}, json_each(${bindings.labels}) as label where ${isAffectedBinding}`;
  return sql`(${channels.events} is null or exists (select 1 from json_each(${channels.events}) where value in (${type}, ${insteadOf})))
    and (${channels.hosts} is null or exists (select 1 from json_each(${channels.hosts}) where value in (${affectedHosts})))
    and (${channels.labels} is null or exists (select 1 from json_each(${channels.labels}) where value in (${labelled})))`;
}

/** The ids are made in SQL, since only SQL knows how many channels there are at that moment. */
function insertDeliveries({ db, clock }: Pick<Deps, "db" | "clock">, notice: OutboxEvent, where: SQL): Statement {
  const now = clock.now();
  const at = instant(now);
  const data = notice.data instanceof SQL ? notice.data : JSON.stringify(notice.data);
  const payload = sql`json_object('type', ${notice.type}, 'timestamp', ${at}, 'data', json(${data}))`;
  const time = now.toString(16).padStart(12, "0");
  const id = sql`lower(${`${time.slice(0, 8)}-${time.slice(8)}-7`} || substr(hex(randomblob(2)), 2) || '-' ||
    substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`;
  return db.run(sql`insert into ${deliveries} (id, channel, incident, type, payload, state, attempts, "nextAttemptAt", "createdAt")
    select ${id}, ${channels.id}, ${notice.subject?.incident ?? null}, ${notice.type}, ${payload}, 'pending', 0, ${at}, ${at} from ${channels} where ${where}`);
}

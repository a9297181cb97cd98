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
  /** As SQL: an expression that yields JSON, evaluated in the batch. */
  readonly data: Record<string, unknown> | SQL;
  /** Event type it stands in for: subscribers of that type receive this one too. */
  readonly insteadOf?: EventType | undefined;
  /** The subject that channel filters match; omitted: none. */
  readonly subject?: EventSubject;
}

/** The binding if there is one; else the whole repository; else the whole host. */
export interface EventSubject {
  readonly host: Id | null;
  readonly binding?: Id | null;
  readonly repository?: Id | null;
  readonly incident?: Id | SQL | null;
}

/**
 * The statement that enqueues one delivery per enabled and subscribed channel. Put it into the batch that changes the
 * state, and call `deps.wakeOutbox()` after the batch.
 * @param when condition, evaluated in the batch: nothing is enqueued unless it holds
 */
export function enqueue(deps: Pick<Deps, "db" | "clock">, notice: OutboxEvent, when: SQL = sql`1`): Statement {
  return insertDeliveries(deps, notice, sql`${channels.enabled} and ${isSubscribed(notice)} and (${when})`);
}

/** As `enqueue`, for one channel whatever its state and subscription. */
export function enqueueTo(
  deps: Pick<Deps, "db" | "clock">,
  channel: Id,
  notice: OutboxEvent,
  when: SQL = sql`1`,
): Statement {
  return insertDeliveries(deps, notice, sql`${channels.id} = ${channel} and (${when})`);
}

/**
 * Whether a channel's filters match: event type, hosts, and labels of hosts and bindings. An event of a whole host or
 * repository also counts as one of each of its bindings, because these then have no event of their own.
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

/** The ids (UUIDv7) are generated in SQL, because only the statement knows how many channels match. */
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

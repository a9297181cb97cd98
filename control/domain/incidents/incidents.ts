import { and, eq, isNull, sql, type SQL } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import { type Id, instant } from "../../../shared/ids.ts";
import type { AcknowledgeIncident, IncidentKind, TimelineEntry } from "../../../shared/incident.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { EventDraft } from "../../db/schema/notifications.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { type EventSubject, enqueue, type OutboxEvent } from "../../notify/outbox.ts";
import { newId } from "../ids.ts";
import { notFound } from "../errors.ts";

/** Identifies an incident by its kind, subject and detail. */
export interface IncidentRef {
  readonly kind: IncidentKind;
  readonly host: Id | null;
  readonly binding?: Id | null;
  readonly repository?: Id | null;
  /** Tells incidents of one kind and subject apart: a kind of run, or a trouble's code and subject. */
  readonly detail?: string;
}

export type IncidentDeps = Pick<Deps, "db" | "clock" | "random">;

/** An incident that opens this often within this time is flapping: it is notified once, then only when it is stable. */
const FLAPS_AT = 4;
const FLAPS_WITHIN_MS = 6 * 3_600_000;
/** A flapping incident is stable when it stayed open or closed for this long. */
export const SETTLES_AFTER_MS = 3_600_000;
/** Interval at which reminders of an incident are checked. */
export const REMIND_EVERY_MS = 86_400_000;
/** A longer timeline loses entries after the first two: the beginning and the newest entries are kept. */
const MAX_TIMELINE_ENTRIES = 200;

/**
 * Statements for the batch that detects a problem: open an incident and enqueue its event, unless one with its key is
 * open. Safe concurrently. A flapping incident is not notified again (docs/incidents.md). Call `deps.wakeOutbox()`
 * after the batch.
 * @param summary the problem and its subject, in one line
 * @param when condition, evaluated in the batch: nothing happens unless it holds
 */
export function openIncident(
  deps: IncidentDeps,
  ref: IncidentRef,
  { summary, event, when = sql`1` }: { summary: string; event: EventDraft; when?: SQL },
): Statement[] {
  const { db } = deps;
  const id = newId(deps);
  const now = deps.clock.now();
  const at = instant(now);
  const { kind, host, binding = null, repository = null, detail = "" } = ref;
  const opening: EventDraft = { ...event, data: { ...event.data, incident: { id, kind, openedAt: at } } };
  const recentOpenings = sql`${incidents} where ${eq(incidents.key, incidentKey(ref))} and ${incidents.openedAt} > ${instant(now - FLAPS_WITHIN_MS)}`;
  const flaps = sql`(select count(*) from ${recentOpenings}) >= ${FLAPS_AT - 1}`;
  const openedEntry: TimelineEntry = { at, what: "opened", message: summary };
  const dampedEntry: TimelineEntry = {
    at,
    what: "damped",
    message: "flapping: no further notifications until it is stable",
  };
  const wasInserted = (as: "flapping" | "steady") =>
    sql`exists (select 1 from ${incidents} where ${incidents.id} = ${id} and ${incidents.isFlapping} = ${as === "flapping" ? 1 : 0})`;
  const about = { ...subjectOf(ref), incident: id };
  const flappingData = sql`json_set(${JSON.stringify(opening.data)}, '$.summary', ${summary},
    '$.openings', (select count(*) from ${recentOpenings}), '$.since', (select min(${incidents.openedAt}) from ${recentOpenings}))`;
  return [
    reopen(deps, ref, { summary, event, when }),
    db.run(sql`insert into ${incidents}
      (id, kind, key, detail, host, binding, repository, summary, timeline, "openedAt", "isFlapping", "settleAt", opening, "remindAt")
      select ${id}, ${kind}, ${incidentKey(ref)}, ${detail}, ${host}, ${binding}, ${repository}, ${summary},
        case when ${flaps} then ${JSON.stringify([openedEntry, dampedEntry])} else ${JSON.stringify([openedEntry])} end, ${at}, ${flaps},
        case when ${flaps} then ${instant(now + SETTLES_AFTER_MS)} end, ${JSON.stringify(opening)}, ${instant(now + REMIND_EVERY_MS)}
      where (${when}) and not exists (select 1 from ${incidents} where ${isOpen(ref)})`),
    enqueue(deps, { ...opening, subject: about }, wasInserted("steady")),
    enqueue(
      deps,
      { type: "incident.flapping", insteadOf: event.type, data: flappingData, subject: about },
      wasInserted("flapping"),
    ),
  ];
}

/**
 * Statements for the batch that sees the end of a problem: close the open incident of this key and enqueue its event.
 * A flapping incident is notified after it stayed closed.
 * @param message why it closed
 * @param event null: close without a notification (its subject is paused or deleted)
 */
export function closeIncident(
  deps: IncidentDeps,
  ref: IncidentRef,
  { message, event, when = sql`1` }: { message: string; event: EventDraft | null; when?: SQL },
): Statement[] {
  const now = deps.clock.now();
  const open = sql`${isOpen(ref)} and (${when})`;
  const isDamped = event === null ? sql`0` : sql`${incidents.isFlapping}`;
  const ofIncident = (what: SQL) => sql`(select ${what} from ${incidents} where ${isOpen(ref)})`;
  const notification: OutboxEvent | null = event && {
    type: event.type,
    data: withIncident(event, ofIncident(INCIDENT_JSON)),
    subject: { ...subjectOf(ref), incident: ofIncident(sql`${incidents.id}`) },
  };
  const isNotified = sql`exists (select 1 from ${incidents} where ${open} and not ${incidents.isFlapping})`;
  return [
    ...(notification === null ? [] : [enqueue(deps, notification, isNotified)]),
    deps.db
      .update(incidents)
      .set({
        closedAt: instant(now),
        isFlapping: isDamped,
        settleAt: sql`case when ${isDamped} then ${instant(now + SETTLES_AFTER_MS)} end`,
        closing: event,
        remindAt: sql`case when ${isDamped} then ${incidents.remindAt} end`,
        timeline: appendTimelineEntry({ at: instant(now), what: "closed", message }),
      })
      .where(open),
  ];
}

/**
 * Acknowledges an incident: stops its reminders. The first acknowledger stays; later notes only go to the timeline.
 * Throws `incidents.not_found`, or `request.conflict` for a closed one.
 * @param by name of the API token
 */
export async function acknowledgeIncident(
  { db, clock }: Pick<Deps, "db" | "clock">,
  id: Id,
  { note, by }: AcknowledgeIncident & { by: string },
): Promise<void> {
  const at = instant(clock.now());
  const isUnacknowledged = note === null ? isNull(incidents.acknowledgedAt) : undefined;
  const [found] = await db.batch([
    db
      .select({ isCurrent: IS_CURRENT.mapWith(Boolean) })
      .from(incidents)
      .where(eq(incidents.id, id)),
    db
      .update(incidents)
      .set({
        acknowledgedAt: sql`coalesce(${incidents.acknowledgedAt}, ${at})`,
        acknowledgedBy: sql`coalesce(${incidents.acknowledgedBy}, ${by})`,
        remindAt: null,
        timeline: appendTimelineEntry({ at, what: "acknowledged", message: note === null ? by : `${by}: ${note}` }),
      })
      .where(and(eq(incidents.id, id), IS_CURRENT, isUnacknowledged)),
  ]);
  if (found[0] === undefined) throw notFound("incidents", id);
  if (!found[0].isCurrent)
    throw new Failure("request.conflict", `incident ${id} is closed already; there is nothing to acknowledge`);
}

/** For the batch that deletes or revokes an object: closes all its incidents without a notification. */
export function closeIncidentsOf(
  { db, clock }: Pick<Deps, "db" | "clock">,
  subject: "host" | "binding" | "repository",
  id: Id,
): Statement {
  const at = instant(clock.now());
  // A damaged repository stays damaged without the host that found it.
  const isOfHost = subject === "host" ? sql`${incidents.kind} <> 'repository.damaged'` : undefined;
  return db
    .update(incidents)
    .set({
      closedAt: sql`coalesce(${incidents.closedAt}, ${at})`,
      closing: null,
      isFlapping: false,
      settleAt: null,
      remindAt: null,
      timeline: appendTimelineEntry({ at, what: "closed", message: `the ${subject} is gone` }),
    })
    .where(and(eq(incidents[subject], id), IS_CURRENT, isOfHost));
}

/** The subject of an incident's notifications. */
export function subjectOf({ kind, host, binding = null, repository = null }: IncidentRef): EventSubject {
  return { host, binding, repository: kind.startsWith("repository.") ? repository : null };
}

/** The key of an incident: at most one with the same key is open. */
export function incidentKey({ kind, host, binding, repository, detail }: IncidentRef): string {
  const subject = kind.startsWith("binding.") ? binding : kind.startsWith("repository.") ? repository : host;
  return [kind, subject ?? "", ...(detail === undefined || detail === "" ? [] : [detail])].join(" ");
}

/** SQL: the open incidents of a kind, by the index of those that are open. */
export function isOpenOfKind(kind: IncidentKind): SQL {
  return sql`(${incidents.closedAt} is null and ${incidents.key} >= ${`${kind} `} and ${incidents.key} < ${`${kind}!`})`;
}

/** SQL: whether an incident of the kind is open. */
export function hasOpen(kind: IncidentKind): SQL {
  return sql`exists (select 1 from ${incidents} where ${isOpenOfKind(kind)})`;
}

/** Open, or flapping: a flapping incident is not over while it is closed. */
const IS_CURRENT = sql`(${incidents.closedAt} is null or ${incidents.isFlapping})`;

/** The `incident` of an event's data, as JSON. */
const INCIDENT_JSON = sql`json_object('id', ${incidents.id}, 'kind', ${incidents.kind}, 'openedAt', ${incidents.openedAt})`;

/** @param incident yields `INCIDENT_JSON` or null */
function withIncident({ data }: EventDraft, incident: SQL): SQL {
  return sql`json_set(${JSON.stringify(data)}, '$.incident', json(${incident}))`;
}

/** SQL: the timeline with one more entry. */
export function appendTimelineEntry(entry: TimelineEntry): SQL {
  const kept = sql`case when json_array_length(${incidents.timeline}) < ${MAX_TIMELINE_ENTRIES} then ${incidents.timeline}
    else json_remove(${incidents.timeline}, '$[2]') end`;
  return sql`json_insert(${kept}, '$[#]', json(${JSON.stringify(entry)}))`;
}

/** A flapping incident that opens again stays the same incident, without a notification. */
function reopen(
  { db, clock }: IncidentDeps,
  ref: IncidentRef,
  { summary, event, when }: { summary: string; event: EventDraft; when: SQL },
): Statement {
  const now = clock.now();
  return db
    .update(incidents)
    .set({
      summary,
      closedAt: null,
      closing: null,
      openings: sql`${incidents.openings} + 1`,
      settleAt: instant(now + SETTLES_AFTER_MS),
      opening: sql`json_object('type', ${event.type}, 'data', json(${withIncident(event, INCIDENT_JSON)}))`,
      timeline: appendTimelineEntry({ at: instant(now), what: "reopened", message: summary }),
    })
    .where(
      and(
        eq(incidents.key, incidentKey(ref)),
        sql`${incidents.isFlapping} and ${incidents.closedAt} is not null`,
        when,
      ),
    );
}

function isOpen(ref: IncidentRef): SQL | undefined {
  return and(eq(incidents.key, incidentKey(ref)), isNull(incidents.closedAt));
}

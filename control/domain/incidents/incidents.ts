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

/** What is, or was, wrong with whom. */
export interface IncidentRef {
  readonly kind: IncidentKind;
  readonly host: Id | null;
  readonly binding?: Id | null;
  readonly repository?: Id | null;
  /** Which of several of its kind: a kind of run, a trouble's code and subject. */
  readonly detail?: string;
}

export type IncidentDeps = Pick<Deps, "db" | "clock" | "random">;

/** One that opens so often within so long flaps: that is told, and then nothing until it has settled. */
const FLAPS_AT = 4;
const FLAPS_WITHIN_MS = 6 * 3_600_000;
/** How long one that flaps has to stay open, or closed, until that is told. */
export const SETTLES_AFTER_MS = 3_600_000;
/** Until reminders are looked at for the first time, and each time after. */
export const REMIND_EVERY_MS = 86_400_000;
/** Of a timeline: how it began and how it went lately are what people read. */
const LONGEST_TIMELINE = 200;

/**
 * For the batch that finds out: opens an incident and tells of it, unless one of its key is open already. Any number of writers at
 * once open one. One that flaps is not told again (docs/incidents.md). Call `deps.wakeOutbox()` once the batch is through.
 * @param summary what is wrong, with what, in one line
 * @param when evaluated in that batch: nothing happens unless it holds
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
    message: "it comes and goes: told once, until it has settled",
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
 * For the batch that finds out: closes the incident of this key and tells of it, if one is open. Of one that flaps it is told when
 * it has stayed closed for long enough.
 * @param message how it came to be well again
 * @param event null: nobody is told (what it was about is gone, or paused)
 */
export function closeIncident(
  deps: IncidentDeps,
  trouble: IncidentRef,
  { message, event, when = sql`1` }: { message: string; event: EventDraft | null; when?: SQL },
): Statement[] {
  const now = deps.clock.now();
  const open = sql`${isOpen(trouble)} and (${when})`;
  const isDamped = event === null ? sql`0` : sql`${incidents.isFlapping}`;
  const ofIncident = (what: SQL) => sql`(select ${what} from ${incidents} where ${isOpen(trouble)})`;
  const notification: OutboxEvent | null = event && {
    type: event.type,
    data: withIncident(event, ofIncident(INCIDENT_JSON)),
    subject: { ...subjectOf(trouble), incident: ofIncident(sql`${incidents.id}`) },
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
 * Somebody knows of it and will see to it: there are no more reminders. Who was first stays; a note of another is kept in the
 * timeline.
 * @param by the name of the token that says so
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

/** For the batch in which what it was about goes: whatever is wrong with that is over, and nobody is told. */
export function closeIncidentsOf(
  { db, clock }: Pick<Deps, "db" | "clock">,
  subject: "host" | "binding" | "repository",
  id: Id,
): Statement {
  const at = instant(clock.now());
  // A damaged repository outlives its hosts.
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

/** Whom its notifications are about. */
export function subjectOf({ kind, host, binding = null, repository = null }: IncidentRef): EventSubject {
  return { host, binding, repository: kind.startsWith("repository.") ? repository : null };
}

/** What an incident is known by while it is open. */
export function incidentKey({ kind, host, binding, repository, detail }: IncidentRef): string {
  const subject = kind.startsWith("binding.") ? binding : kind.startsWith("repository.") ? repository : host;
  return [kind, subject ?? "", ...(detail === undefined || detail === "" ? [] : [detail])].join(" ");
}

/** One that flaps is not over while it is closed. */
const IS_CURRENT = sql`(${incidents.closedAt} is null or ${incidents.isFlapping})`;

/** What every notification says of the incident it tells of, as JSON. */
const INCIDENT_JSON = sql`json_object('id', ${incidents.id}, 'kind', ${incidents.kind}, 'openedAt', ${incidents.openedAt})`;

/** @param identity gives `IDENTITY`, or null */
function withIncident({ data }: EventDraft, identity: SQL): SQL {
  return sql`json_set(${JSON.stringify(data)}, '$.incident', json(${identity}))`;
}

/** The timeline with one more entry, for an update of the incident. */
export function appendTimelineEntry(entry: TimelineEntry): SQL {
  const kept = sql`case when json_array_length(${incidents.timeline}) < ${LONGEST_TIMELINE} then ${incidents.timeline}
    else json_remove(${incidents.timeline}, '$[2]') end`;
  return sql`json_insert(${kept}, '$[#]', json(${JSON.stringify(entry)}))`;
}

/** One that flaps stays the same incident: nothing is told of it. */
function reopen(
  { db, clock }: IncidentDeps,
  trouble: IncidentRef,
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
        eq(incidents.key, incidentKey(trouble)),
        sql`${incidents.isFlapping} and ${incidents.closedAt} is not null`,
        when,
      ),
    );
}

function isOpen(trouble: IncidentRef): SQL | undefined {
  return and(eq(incidents.key, incidentKey(trouble)), isNull(incidents.closedAt));
}

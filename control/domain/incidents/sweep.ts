import { and, asc, eq, gt, lte, or, sql, type SQL } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { channels, deliveries } from "../../db/schema/notifications.ts";
import { type Statement, writeInParts } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import { subjectOf, REMIND_EVERY_MS, SETTLES_AFTER_MS, appendTimelineEntry } from "./incidents.ts";

/** The rest waits for the next sweep. */
const BATCH_SIZE = 100;

/** SQL: whether a flapping incident is stable. */
export function isSettlingDue(now: number): SQL {
  return sql`(exists (select 1 from ${incidents} where ${isSettled(now)})
    or exists (select 1 from ${incidents} where ${isOfWrongClock(now)}))`;
}

/** SQL: whether an incident has to be looked at for reminders. */
export function isReminderDue(now: number): SQL {
  return sql`exists (select 1 from ${incidents} where ${isReminded(now)})`;
}

/** Ends the flapping of incidents that are stable, and notifies their state. Safe concurrently. */
export async function settleIncidents(deps: Pick<Deps, "db" | "clock">): Promise<void> {
  const now = deps.clock.now();
  const isDue = or(isSettled(now), isOfWrongClock(now));
  const due = await deps.db.select().from(incidents).where(isDue).orderBy(asc(incidents.settleAt)).limit(BATCH_SIZE);
  await writeInParts(
    deps.db,
    due.map((incident) => settle(deps, incident)),
  );
}

/** Enqueues reminders of open, unacknowledged incidents, every `remindEveryDays` of a channel. Safe concurrently. */
export async function remindOfIncidents(deps: Pick<Deps, "db" | "clock">): Promise<void> {
  const due = await deps.db
    .select()
    .from(incidents)
    .where(isReminded(deps.clock.now()))
    .orderBy(asc(incidents.remindAt))
    .limit(BATCH_SIZE);
  await writeInParts(
    deps.db,
    due.map((incident) => remind(deps, incident)),
  );
}

function isSettled(now: number): SQL {
  return lte(incidents.settleAt, instant(now));
}

/** A later instant was written by a clock that was ahead. */
function isOfWrongClock(now: number): SQL {
  return gt(incidents.settleAt, instant(now + SETTLES_AFTER_MS));
}

function isReminded(now: number): SQL {
  return lte(incidents.remindAt, instant(now));
}

type Row = typeof incidents.$inferSelect;

function settle(deps: Pick<Deps, "db" | "clock">, incident: Row): Statement[] {
  const isOpen = incident.closedAt === null;
  const event = isOpen ? incident.opening : incident.closing;
  const isUnchanged = and(
    eq(incidents.id, incident.id),
    eq(incidents.settleAt, incident.settleAt ?? ""),
    sql`${incidents.closedAt} is ${incident.closedAt}`,
  );
  const message = isOpen ? "stable, still open" : "stable, closed";
  return [
    ...(event === null
      ? []
      : [
          enqueue(
            deps,
            {
              type: event.type,
              data: { ...event.data, incident: incidentFacts(incident) },
              subject: { ...subjectOf(incident), incident: incident.id },
            },
            sql`exists (select 1 from ${incidents} where ${isUnchanged})`,
          ),
        ]),
    deps.db
      .update(incidents)
      .set({
        isFlapping: false,
        settleAt: null,
        ...(isOpen ? {} : { remindAt: null }),
        timeline: appendTimelineEntry({ at: instant(deps.clock.now()), what: "settled", message }),
      })
      .where(isUnchanged),
  ];
}

/** Days count from `openedAt`, so no state per channel is needed, and a late sweep catches up. */
function remind(deps: Pick<Deps, "db" | "clock">, incident: Row): Statement[] {
  const now = deps.clock.now();
  const openedAt = Date.parse(incident.openedAt);
  const day = Math.floor((now - openedAt) / REMIND_EVERY_MS);
  const dayBefore = Math.round((Date.parse(incident.remindAt ?? "") - openedAt) / REMIND_EVERY_MS) - 1;
  const isUnchanged = and(eq(incidents.id, incident.id), eq(incidents.remindAt, incident.remindAt ?? ""));
  const remindersDue = (days: number) => sql`cast(${days} as integer) / ${channels.remindEveryDays}`;
  const { summary, isFlapping, openings } = incident;
  const data = {
    ...incident.opening?.data,
    incident: incidentFacts(incident),
    summary,
    days: day,
    isFlapping,
    openings,
  };
  const about = { ...subjectOf(incident), incident: incident.id };
  const at = instant(now);
  const isReminded = sql`exists (select 1 from ${deliveries} where ${deliveries.incident} = ${incident.id}
    and ${deliveries.type} = 'incident.reminder' and ${deliveries.createdAt} = ${at})`;
  const reminded = appendTimelineEntry({ at, what: "reminded", message: `day ${day}` });
  return [
    enqueue(
      deps,
      { type: "incident.reminder", insteadOf: incident.opening?.type, data, subject: about },
      sql`exists (select 1 from ${incidents} where ${isUnchanged}) and ${remindersDue(day)} > ${remindersDue(dayBefore)}`,
    ),
    deps.db
      .update(incidents)
      .set({
        remindAt: instant(openedAt + (day + 1) * REMIND_EVERY_MS),
        timeline: sql`case when ${isReminded} then ${reminded} else ${incidents.timeline} end`,
      })
      .where(isUnchanged),
  ];
}

function incidentFacts({ id, kind, openedAt }: Row) {
  return { id, kind, openedAt };
}

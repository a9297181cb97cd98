import { and, eq, isNull, sql, type SQL } from "drizzle-orm";
import type { EventType } from "../../shared/event.ts";
import { type Id, instant } from "../../shared/ids.ts";
import type { IncidentKind } from "../../shared/incident.ts";
import { incidents } from "../db/telling.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { enqueue } from "../notify/outbox.ts";
import { newId } from "./page.ts";

/** What is, or was, wrong with whom. */
export interface Trouble {
  readonly kind: IncidentKind;
  readonly host: Id | null;
  readonly binding?: Id | null;
  readonly repository?: Id | null;
  /** Which of several of its kind: a kind of run, a trouble's code and subject. */
  readonly detail?: string;
}

/** What is told of it. */
export interface Told {
  readonly type: EventType;
  readonly data: Record<string, unknown>;
}

type IncidentDeps = Pick<Deps, "db" | "clock" | "random">;

/** Hours until reminders are looked at for the first time, and each time after. */
const REMIND_EVERY_MS = 86_400_000;

/**
 * For the batch that finds out: opens an incident and tells of it, unless one of its key is open already. Any number of writers at
 * once open one. Call `deps.wakeOutbox()` once the batch is through.
 * @param summary what is wrong, with what, in one line
 * @param when evaluated in that batch: nothing happens unless it holds
 */
export function openIncident(
  deps: IncidentDeps,
  trouble: Trouble,
  { summary, told, when = sql`1` }: { summary: string; told: Told; when?: SQL },
): Statement[] {
  const id = newId(deps);
  const now = deps.clock.now();
  const at = instant(now);
  const { kind, host, binding = null, repository = null, detail = "" } = trouble;
  const timeline = JSON.stringify([{ at, what: "opened", message: summary }]);
  const isNew = sql`(${when}) and not exists (select 1 from ${incidents} where ${isOpen(trouble)})`;
  return [
    deps.db.run(sql`insert into ${incidents}
      (id, kind, key, detail, host, binding, repository, summary, timeline, "openedAt", "isFlapping", "remindAt")
      select ${id}, ${kind}, ${keyOf(trouble)}, ${detail}, ${host}, ${binding}, ${repository}, ${summary}, ${timeline}, ${at}, 0,
        ${instant(now + REMIND_EVERY_MS)} where ${isNew}`),
    enqueue(
      deps,
      { ...told, about: { host, binding, incident: id } },
      sql`exists (select 1 from ${incidents} where ${incidents.id} = ${id})`,
    ),
  ];
}

/**
 * For the batch that finds out: closes the incident of this key and tells of it, if one is open.
 * @param message how it came to be well again
 * @param told null: nobody is told (what it was about is gone, or paused)
 */
export function closeIncident(
  deps: IncidentDeps,
  trouble: Trouble,
  { message, told, when = sql`1` }: { message: string; told: Told | null; when?: SQL },
): Statement[] {
  const at = instant(deps.clock.now());
  const open = sql`${isOpen(trouble)} and (${when})`;
  const { host, binding = null } = trouble;
  const entry = JSON.stringify({ at, what: "closed", message });
  return [
    ...(told === null
      ? []
      : [enqueue(deps, { ...told, about: { host, binding } }, sql`exists (select 1 from ${incidents} where ${open})`)]),
    deps.db
      .update(incidents)
      .set({
        closedAt: at,
        remindAt: null,
        timeline: sql`json_insert(${incidents.timeline}, '$[#]', json(${entry}))`,
      })
      .where(open),
  ];
}

/** What an incident is known by while it is open. */
export function keyOf({ kind, host, binding, repository, detail }: Trouble): string {
  const subject = kind.startsWith("binding.") ? binding : kind.startsWith("repository.") ? repository : host;
  return [kind, subject ?? "", ...(detail === undefined || detail === "" ? [] : [detail])].join(" ");
}

function isOpen(trouble: Trouble): SQL | undefined {
  return and(eq(incidents.key, keyOf(trouble)), isNull(incidents.closedAt));
}

import { and, desc, eq, inArray, isNull, sql } from "drizzle-orm";
import { type Id, instant } from "../../shared/ids.ts";
import { incidents } from "../db/schema/incidents.ts";
import { channels, deliveries } from "../db/schema/notifications.ts";
import { type Statement, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { enqueueTo } from "./outbox.ts";
import { hasHeldDeliveries } from "./quiet-hours.ts";
import { messageTextOf } from "./message-text.ts";

/** A longer digest only counts the rest. */
const MAX_ITEMS = 50;

/**
 * Writes one digest for each channel whose quiet hours are over, and marks its held deliveries as digested, in one
 * batch. Safe to run concurrently.
 * @param due these channels
 */
export async function writeDigests(deps: Pick<Deps, "db" | "clock">, due: readonly Channel[]): Promise<void> {
  for (const channel of due) await writeAll(deps.db, await digest(deps, channel));
}

type Channel = typeof channels.$inferSelect;

async function digest(deps: Pick<Deps, "db" | "clock">, { id, name, digestAt }: Channel): Promise<Statement[]> {
  const { db } = deps;
  const { ids, items, more, since } = await readHeld(deps, id);
  const isUnchanged = and(eq(channels.id, id), eq(channels.digestAt, digestAt ?? ""));
  const data = { channel: { id, name }, count: ids.length, since, items, more };
  const digestedIds = sql`select value from json_each(${JSON.stringify(ids)})`;
  return [
    ...(ids.length === 0 ? [] : [enqueueTo(deps, id, { type: "incident.digest", data }, isUnchanged)]),
    db
      .update(deliveries)
      .set({ state: "digested" })
      .where(
        and(
          eq(deliveries.channel, id),
          eq(deliveries.state, "held"),
          sql`${deliveries.id} in (${digestedIds})`,
          sql`exists (select 1 from ${channels} where ${isUnchanged})`,
        ),
      ),
    db
      .update(channels)
      // Deliveries that were held since they were read get another digest.
      .set({ digestAt: sql`case when ${hasHeldDeliveries()} then ${instant(deps.clock.now())} end` })
      .where(isUnchanged),
  ];
}

interface Item {
  readonly title: string;
  /** State of an incident: `open` or `over`. `told`: a notification that belongs to no incident. */
  readonly state: "open" | "over" | "told";
  readonly incident: { id: Id; kind: string; openedAt: string; closedAt: string | null } | null;
}

/** Reads a channel's held deliveries as digest items: open incidents first, closed ones last, each incident once. */
async function readHeld({ db }: Pick<Deps, "db">, channel: Id) {
  const isHeld = and(eq(deliveries.channel, channel), eq(deliveries.state, "held"));
  const ofIncidents = db.select({ id: deliveries.incident }).from(deliveries).where(isHeld);
  const isOfThese = sql`${incidents.id} in ${ofIncidents}`;
  const keys = db.select({ key: incidents.key }).from(incidents).where(isOfThese);
  const [all, heldIncidents, others, [known], openIncidents] = await db.batch([
    db.select({ id: deliveries.id, at: deliveries.createdAt }).from(deliveries).where(isHeld).orderBy(deliveries.id),
    db
      .select()
      .from(incidents)
      .where(isOfThese)
      .orderBy(sql`${incidents.closedAt} is not null`, desc(incidents.id))
      .limit(MAX_ITEMS),
    db
      .select({ payload: deliveries.payload })
      .from(deliveries)
      .where(and(isHeld, isNull(deliveries.incident)))
      .orderBy(desc(deliveries.id))
      .limit(MAX_ITEMS),
    db
      .select({
        incidents: sql<number>`count(distinct ${deliveries.incident})`,
        others: sql<number>`sum(${deliveries.incident} is null)`,
      })
      .from(deliveries)
      .where(isHeld),
    db
      .select({ id: incidents.id, key: incidents.key })
      .from(incidents)
      .where(and(isNull(incidents.closedAt), inArray(incidents.key, keys))),
  ]);
  const open = new Map(openIncidents.map(({ key, id }) => [key, id]));
  // A problem that opened again is one item. It shows the newer incident, if that one was held too.
  const shown = heldIncidents.filter(
    ({ id, key }) => !heldIncidents.some((one) => one.id !== id && one.id === open.get(key)),
  );
  const lines = shown.map((incident) => toItem(incident, open.has(incident.key)));
  const otherItems = others.map(({ payload }): Item => ({
    title: messageTextOf(payload).title,
    state: "told",
    incident: null,
  }));
  const inOrder = [
    ...lines.filter(({ state }) => state === "open"),
    ...otherItems,
    ...lines.filter(({ state }) => state === "over"),
  ];
  const items = inOrder.slice(0, MAX_ITEMS);
  const more = (known?.incidents ?? 0) + (known?.others ?? 0) - (heldIncidents.length - shown.length) - items.length;
  return { ids: all.map(({ id }) => id), items, more: Math.max(0, more), since: all[0]?.at ?? null };
}

function toItem(incident: typeof incidents.$inferSelect, isOpen: boolean): Item {
  const { id, kind, openedAt, closedAt, closing, summary, isFlapping } = incident;
  const state = isOpen ? "open" : "over";
  // Without a closing event it was paused or deleted, not resolved.
  const closedLabel = closing === null ? "no longer monitored" : "resolved";
  const openLabel = closedAt === null ? "still open" : "open again";
  const label = isFlapping ? "flapping" : isOpen ? openLabel : closedLabel;
  return { title: `${label}: ${summary}`, state, incident: { id, kind, openedAt, closedAt } };
}

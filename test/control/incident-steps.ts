import { closeIncident, openIncident, type IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { page } from "../../shared/api.ts";
import { Delivery } from "../../shared/event.ts";
import type { TestControl } from "../support/control.ts";

export const DAY = 86_400_000;
export const HOUR = 3_600_000;
export const MINUTE = 60_000;

/** Opens an incident in one batch, as the control plane does. */
export async function fail({ deps }: TestControl, ref: IncidentRef, summary = "the backup fails"): Promise<void> {
  const event = { type: "run.failed" as const, data: { host: ref.host, text: summary } };
  await writeAll(deps.db, openIncident(deps, ref, { summary, event }));
}

/** Closes an incident with a notification. */
export async function recover({ deps }: TestControl, ref: IncidentRef): Promise<void> {
  const event = { type: "run.recovered" as const, data: { host: ref.host } };
  await writeAll(deps.db, closeIncident(deps, ref, { message: "a backup succeeded", event }));
}

/** Closes an incident without a notification, as for a paused or deleted subject. */
export async function forget({ deps }: TestControl, ref: IncidentRef): Promise<void> {
  await writeAll(deps.db, closeIncident(deps, ref, { message: "paused", event: null }));
}

export function addChannel(control: TestControl, name: string, more: object = {}) {
  const body = { name, kind: "webhook", url: "http://127.0.0.1/hook", ...more };
  return control.admin.send("POST", "/api/v1/channels", body);
}

/** All deliveries, oldest first. */
export async function deliveriesOf({ admin }: TestControl, filters = ""): Promise<Delivery[]> {
  const { items } = await admin.ask(page(Delivery), "GET", `/api/v1/deliveries?limit=500${filters}`);
  return items.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : 0));
}

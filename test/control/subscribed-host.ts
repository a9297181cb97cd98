import { page } from "../../shared/api.ts";
import { Delivery } from "../../shared/event.ts";
import { type Report, ReportsAccepted } from "../../shared/report.ts";
import { RunWithLog } from "../../shared/run.ts";
import { type DATABASES, testControl, type TestControl, type TestHost } from "../support/control.ts";
import { declare } from "./declared.ts";
import { runIdAt } from "./reported.ts";

/** Three runs, a day apart. */
export const EARLY = runIdAt("2026-11-20T00:00:00.000Z");
export const LATE = runIdAt("2026-11-21T00:00:00.000Z");
export const LATER = runIdAt("2026-11-22T00:00:00.000Z");

/** A control plane with a host, a binding, and a channel subscribed to all events. */
export async function subscribedHost(database: (typeof DATABASES)[number] = "file") {
  const control = await testControl({ database });
  const host = await control.enrol("one");
  const declared = await declare(control, host, "photos");
  await control.admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" });
  return { control, host, ...declared };
}

/** @returns the ids that were accepted */
export async function send(host: TestHost, ...reports: Report[]): Promise<string[]> {
  return (await host.ask(ReportsAccepted, "POST", "/agent/v1/reports", { reports })).accepted;
}

/** The events of all deliveries, oldest first. */
export async function notifications({ admin }: TestControl) {
  const { items } = await admin.ask(page(Delivery), "GET", "/api/v1/deliveries?limit=500");
  return items.map(({ payload }) => payload).sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
}

export async function notifiedTypes(control: TestControl): Promise<string[]> {
  return (await notifications(control)).map(({ type }) => type).toSorted();
}

export function runOf({ admin }: TestControl, id: string) {
  return admin.ask(RunWithLog, "GET", `/api/v1/runs/${id}`);
}

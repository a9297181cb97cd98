import { page } from "../../shared/api.ts";
import { Incident } from "../../shared/incident.ts";
import { sweepHealth } from "../../control/domain/watch/sweep.ts";
import type { TestControl, TestHost } from "../support/control.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/**
 * Time goes by, and the control plane looks every two minutes; in more than two hours only in the last quarter, as one that was
 * away before. These hosts say something whenever it looks; all others are silent.
 */
export async function passTime(control: TestControl, milliseconds: number, hosts: readonly TestHost[] = []): Promise<void> {
  const steps = milliseconds > 2 * HOUR ? 7 : Math.floor(milliseconds / (2 * MINUTE));
  control.pass(milliseconds - steps * 2 * MINUTE);
  await look(control, hosts);
  for (let step = 0; step < steps; step++) {
    control.pass(2 * MINUTE);
    await look(control, hosts);
  }
}

async function look(control: TestControl, hosts: readonly TestHost[]): Promise<void> {
  for (const host of hosts) await host.send("GET", "/agent/v1/orders");
  await sweepHealth(control.deps);
}

/** What is wrong now, by kind. */
export async function openIncidentKinds({ admin }: TestControl): Promise<string[]> {
  const { items } = await admin.ask(page(Incident), "GET", "/api/v1/incidents?limit=500");
  return items
    .filter(({ closedAt }) => closedAt === null)
    .map(({ kind }) => kind)
    .toSorted();
}

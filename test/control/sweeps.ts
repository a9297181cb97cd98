import { page } from "../../shared/api.ts";
import { Incident } from "../../shared/incident.ts";
import { sweepHealth } from "../../control/domain/watch/sweep.ts";
import type { TestControl, TestHost } from "../support/control.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/**
 * Passes time with a sweep every two minutes; of more than two hours only in the last 14 minutes, like after a
 * downtime. These hosts send a request before every sweep; all others are silent.
 */
export async function passTime(
  control: TestControl,
  milliseconds: number,
  hosts: readonly TestHost[] = [],
): Promise<void> {
  const steps = milliseconds > 2 * HOUR ? 7 : Math.floor(milliseconds / (2 * MINUTE));
  control.pass(milliseconds - steps * 2 * MINUTE);
  await sweepOnce(control, hosts);
  for (let step = 0; step < steps; step++) {
    control.pass(2 * MINUTE);
    await sweepOnce(control, hosts);
  }
}

async function sweepOnce(control: TestControl, hosts: readonly TestHost[]): Promise<void> {
  for (const host of hosts) await host.send("GET", "/agent/v1/orders");
  await sweepHealth(control.deps);
}

/** The kinds of all open incidents. */
export async function openIncidentKinds({ admin }: TestControl): Promise<string[]> {
  const { items } = await admin.ask(page(Incident), "GET", "/api/v1/incidents?limit=500");
  return items
    .filter(({ closedAt }) => closedAt === null)
    .map(({ kind }) => kind)
    .toSorted();
}

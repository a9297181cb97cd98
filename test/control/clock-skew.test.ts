import { expect, test } from "vitest";
import { CLOCK_HEADER } from "../../shared/clock-skew.ts";
import { Host } from "../../shared/host.ts";
import { instant } from "../../shared/ids.ts";
import type { TestControl, TestHost } from "../support/control.ts";
import { sweepHealth } from "../../control/domain/watch/sweep.ts";
import { subscribedHost, notifications, notifiedTypes } from "./subscribed-host.ts";
import { MINUTE, openIncidentKinds } from "./sweeps.ts";

/** Asks as an agent does whose clock is so far ahead. */
async function ask(control: TestControl, host: TestHost, aheadMs: number): Promise<Host> {
  const clock = { [CLOCK_HEADER]: instant(control.deps.clock.now() + aheadMs) };
  await host.send("GET", "/agent/v1/orders", undefined, clock);
  await sweepHealth(control.deps);
  return control.admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`);
}

test("a host's clock skew is shown; beyond five minutes it is notified once, and again when the clock is correct", async () => {
  const { control, host } = await subscribedHost();
  expect((await ask(control, host, -MINUTE)).clockSkewMs).toBe(-MINUTE);
  control.pass(MINUTE);
  expect((await ask(control, host, 5 * MINUTE)).clockSkewMs).toBe(5 * MINUTE);
  expect(await notifiedTypes(control)).toEqual([]);
  control.pass(1);
  expect((await ask(control, host, -90 * MINUTE)).clockSkewMs).toBe(-90 * MINUTE);
  for (const ahead of [-91, -6, -4]) {
    control.pass(MINUTE);
    await ask(control, host, ahead * MINUTE);
  }
  expect(await openIncidentKinds(control)).toEqual(["host.clock_wrong"]);
  control.pass(MINUTE);
  await ask(control, host, 2 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual([]);
  expect(await notifications(control)).toMatchObject([
    { type: "host.clock_wrong", data: { host: { id: host.id, name: "one" }, skewMs: -90 * MINUTE } },
    { type: "host.clock_right", data: { host: { name: "one" }, skewMs: 2 * MINUTE } },
  ]);
});

test("an invalid clock header is ignored, and the skew is recorded once a minute", async () => {
  const { control, host } = await subscribedHost();
  await ask(control, host, 1000);
  for (const clock of ["yesterday", "2026", "", "1e99"]) {
    await host.send("GET", "/agent/v1/orders", undefined, { [CLOCK_HEADER]: clock });
  }
  const { clockSkewMs, lastSeenAt } = await ask(control, host, 2000);
  expect(clockSkewMs).toBe(1000);
  control.pass(MINUTE);
  const later = await ask(control, host, 2000);
  expect(later.clockSkewMs).toBe(2000);
  expect(later.lastSeenAt).not.toBe(lastSeenAt);
});

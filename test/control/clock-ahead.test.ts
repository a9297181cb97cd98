import { expect, test } from "vitest";
import { recordVital } from "../../control/domain/service/vitals.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { sweep, tick } from "../../control/tick.ts";
import { Event } from "../../shared/event.ts";
import { askerOf, testControl } from "../support/control.ts";
import { addChannel, DAY, fail, HOUR, MINUTE, recover } from "./incident-steps.ts";

/* The control plane's own clock is ahead for a while, and then right again: nothing waits until the time that it showed. */

const TROUBLE = { kind: "host.trouble", host: "01936f0e-0000-7000-8000-00000000000a", detail: "disk.full /" } as const;

async function subscribedHost(more: object = {}) {
  const control = await testControl({ now: "2026-11-23T12:00:00.000Z" });
  await addChannel(control, "ops", more);
  const sent: string[] = [];
  const deps: typeof control.deps = {
    ...control.deps,
    post: async ({ body }) => ({ status: sent.push(Event.parse(JSON.parse(body)).type) && 204 }),
  };
  return { control, deps, sent };
}

test("a notification from a clock that was ahead is sent at once", async () => {
  const { control, deps, sent } = await subscribedHost();
  control.pass(DAY);
  await fail(control, TROUBLE);
  control.pass(-DAY);
  await dispatch(deps);
  expect(sent).toEqual(["run.failed"]);
});

test("a flapping incident from a clock that was ahead is notified as it is", async () => {
  const { control, deps, sent } = await subscribedHost();
  control.pass(DAY);
  for (let time = 0; time < 4; time++) {
    control.pass(MINUTE);
    await fail(control, TROUBLE);
    control.pass(MINUTE);
    if (time < 3) await recover(control, TROUBLE);
  }
  await dispatch(deps);
  control.pass(-DAY);
  await sweep(deps);
  await dispatch(deps);
  expect(sent.slice(-2)).toEqual(["incident.flapping", "run.failed"]);
});

test("a delivery held for quiet hours in the future is sent at once", async () => {
  const { control, deps, sent } = await subscribedHost({ quietHours: { from: "22:00", to: "07:00", zone: "UTC" } });
  control.pass(11 * HOUR);
  await fail(control, TROUBLE);
  await dispatch(deps);
  expect(sent).toEqual([]);
  control.pass(-11 * HOUR);
  await dispatch(deps);
  expect(sent).toEqual(["incident.digest"]);
});

test("a sweep recorded in the future does not hide that it stalls", async () => {
  const { control, deps } = await subscribedHost();
  const healthz = async () => (await askerOf(control.app, null).send("GET", "/healthz")).status;
  await recordVital(deps, "start");
  control.pass(DAY);
  await tick(deps);
  expect(await healthz()).toBe(200);
  control.pass(-DAY + 4 * MINUTE);
  expect(await healthz()).toBe(503);
  await tick(deps);
  expect(await healthz()).toBe(200);
});

import { expect, test } from "vitest";
import { Host } from "../../shared/host.ts";
import { page } from "../../shared/api.ts";
import { Incident } from "../../shared/incident.ts";
import { Binding } from "../../shared/binding.ts";
import { declare } from "./declared.ts";
import { subscribedHost, notifications, notifiedTypes } from "./subscribed-host.ts";
import { DAY, passTime, HOUR, MINUTE, openIncidentKinds } from "./sweeps.ts";

async function withManyBindings() {
  const all = await subscribedHost();
  const { control, host } = all;
  const others = [];
  for (const name of ["mail", "music", "notes"]) others.push((await declare(control, host, name)).binding);
  for (const { id } of [all.binding, ...others]) {
    const settings = { timerConfig: { OnCalendar: "hourly", RandomizedDelaySec: "0" }, zone: "UTC" };
    await control.admin.ask(Binding, "PATCH", `/api/v1/bindings/${id}`, { settings });
  }
  return all;
}

test("an offline host is notified once, without its bindings; once back, they get their grace, and then are late", async () => {
  const { control, host } = await withManyBindings();
  await passTime(control, 30 * MINUTE, [host]);
  await passTime(control, 14 * MINUTE);
  expect(await notifiedTypes(control)).toEqual([]);
  await passTime(control, 4 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual(["host.offline"]);
  await passTime(control, 2 * DAY);
  expect(await notifiedTypes(control)).toEqual(["host.offline"]);
  expect(await notifications(control)).toMatchObject([
    { type: "host.offline", data: { host: { id: host.id, name: "one" }, since: "2026-11-23T08:30:00.000Z" } },
  ]);
  await passTime(control, 2 * MINUTE, [host]);
  expect(await notifiedTypes(control)).toEqual(["host.offline", "host.online"]);
  await passTime(control, 9 * MINUTE, [host]);
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 5 * MINUTE, [host]);
  expect(await openIncidentKinds(control)).toEqual(Array(4).fill("binding.unprotected"));
});

test("the offline limit is a setting of each host; null turns monitoring off", async () => {
  const { control, host } = await subscribedHost();
  const laptop = await control.enrol("laptop");
  const set = (id: string, offlineAfterSeconds: number | null) =>
    control.admin.ask(Host, "PATCH", `/api/v1/hosts/${id}`, { offlineAfterSeconds });
  expect(await set(laptop.id, null)).toMatchObject({ offlineAfterSeconds: null });
  await set(host.id, 7200);
  await passTime(control, 118 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 30 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual(["host.offline"]);
  await set(host.id, null);
  await passTime(control, 2 * MINUTE);
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([[], ["host.offline"]]);
  const refused = await control.admin.refused("PATCH", `/api/v1/hosts/${host.id}`, { offlineAfterSeconds: 60 });
  expect(refused.issues).toMatchObject([{ path: ["offlineAfterSeconds"] }]);
});

test("a socket that pings counts as contact without any request; one that only looks open does not", async () => {
  const { control, host } = await subscribedHost();
  await control.deps.db.run(`update hosts set "connectionId" = '${host.id}'`);
  for (let time = 0; time < 20; time++) {
    control.heard.set(host.id, control.deps.clock.now() - MINUTE);
    await passTime(control, 2 * MINUTE);
  }
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 18 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual(["host.offline"]);
  expect(control.hubCalls).toContain(`disconnect ${host.id} silent`);
  expect(await control.admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({ online: false });
});

test("after a downtime of days no host is offline before the control plane was up for its limit", async () => {
  const { control, host } = await subscribedHost();
  await passTime(control, 10 * MINUTE, [host]);
  control.pass(3 * DAY);
  await passTime(control, 14 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 2 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual(["host.offline"]);
});

test("a revoked or deleted host has its incidents closed without a notification", async () => {
  const { control, host, binding } = await subscribedHost();
  await passTime(control, 30 * HOUR, [host]);
  await passTime(control, 30 * MINUTE);
  expect(await openIncidentKinds(control)).toEqual(["binding.unprotected", "host.offline"]);
  const before = await notifiedTypes(control);
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  await passTime(control, 2 * DAY);
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([[], before]);
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  const { items } = await control.admin.ask(page(Incident), "GET", "/api/v1/incidents");
  expect(items.map(({ closedAt }) => closedAt === null)).toEqual([false, false]);
});

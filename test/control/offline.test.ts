import { expect, test } from "vitest";
import { Host } from "../../shared/host.ts";
import { page } from "../../shared/api.ts";
import { Incident } from "../../shared/incident.ts";
import { Binding } from "../../shared/binding.ts";
import { declare } from "./declared.ts";
import { listening, told, typesTold } from "./listening.ts";
import { DAY, goBy, HOUR, MINUTE, wrongNow } from "./sweeps.ts";

async function withManyBindings() {
  const all = await listening();
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
  await goBy(control, 30 * MINUTE, [host]);
  await goBy(control, 14 * MINUTE);
  expect(await typesTold(control)).toEqual([]);
  await goBy(control, 4 * MINUTE);
  expect(await wrongNow(control)).toEqual(["host.offline"]);
  await goBy(control, 2 * DAY);
  expect(await typesTold(control)).toEqual(["host.offline"]);
  expect(await told(control)).toMatchObject([
    { type: "host.offline", data: { host: { id: host.id, name: "one" }, since: "2026-11-23T08:30:00.000Z" } },
  ]);
  await goBy(control, 2 * MINUTE, [host]);
  expect(await typesTold(control)).toEqual(["host.offline", "host.online"]);
  await goBy(control, 9 * MINUTE, [host]);
  expect(await wrongNow(control)).toEqual([]);
  await goBy(control, 5 * MINUTE, [host]);
  expect(await wrongNow(control)).toEqual(Array(4).fill("binding.unprotected"));
});

test("the offline limit is a setting of each host; null turns monitoring off", async () => {
  const { control, host } = await listening();
  const laptop = await control.enrol("laptop");
  const set = (id: string, offlineAfterSeconds: number | null) =>
    control.admin.ask(Host, "PATCH", `/api/v1/hosts/${id}`, { offlineAfterSeconds });
  expect(await set(laptop.id, null)).toMatchObject({ offlineAfterSeconds: null });
  await set(host.id, 7200);
  await goBy(control, 118 * MINUTE);
  expect(await wrongNow(control)).toEqual([]);
  await goBy(control, 30 * MINUTE);
  expect(await wrongNow(control)).toEqual(["host.offline"]);
  await set(host.id, null);
  await goBy(control, 2 * MINUTE);
  expect([await wrongNow(control), await typesTold(control)]).toEqual([[], ["host.offline"]]);
  const refused = await control.admin.refused("PATCH", `/api/v1/hosts/${host.id}`, { offlineAfterSeconds: 60 });
  expect(refused.issues).toMatchObject([{ path: ["offlineAfterSeconds"] }]);
});

test("a socket that pings counts as contact without any request; one that only looks open does not", async () => {
  const { control, host } = await listening();
  await control.deps.db.run(`update hosts set "connectionId" = '${host.id}'`);
  for (let time = 0; time < 20; time++) {
    control.heard.set(host.id, control.deps.clock.now() - MINUTE);
    await goBy(control, 2 * MINUTE);
  }
  expect(await wrongNow(control)).toEqual([]);
  await goBy(control, 18 * MINUTE);
  expect(await wrongNow(control)).toEqual(["host.offline"]);
  expect(control.hubCalls).toContain(`disconnect ${host.id} silent`);
  expect(await control.admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({ online: false });
});

test("after a downtime of days no host is offline before the control plane was up for its limit", async () => {
  const { control, host } = await listening();
  await goBy(control, 10 * MINUTE, [host]);
  control.pass(3 * DAY);
  await goBy(control, 14 * MINUTE);
  expect(await wrongNow(control)).toEqual([]);
  await goBy(control, 2 * MINUTE);
  expect(await wrongNow(control)).toEqual(["host.offline"]);
});

test("a revoked or deleted host has its incidents closed without a notification", async () => {
  const { control, host, binding } = await listening();
  await goBy(control, 30 * HOUR, [host]);
  await goBy(control, 30 * MINUTE);
  expect(await wrongNow(control)).toEqual(["binding.unprotected", "host.offline"]);
  const before = await typesTold(control);
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  await goBy(control, 2 * DAY);
  expect([await wrongNow(control), await typesTold(control)]).toEqual([[], before]);
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  const { items } = await control.admin.ask(page(Incident), "GET", "/api/v1/incidents");
  expect(items.map(({ closedAt }) => closedAt === null)).toEqual([false, false]);
});

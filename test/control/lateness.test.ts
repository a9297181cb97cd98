import { describe, expect, test } from "vitest";
import { sweepHealth } from "../../control/domain/watch/sweep.ts";
import { Binding } from "../../shared/binding.ts";
import { instant } from "../../shared/ids.ts";
import { DATABASES, type TestControl } from "../support/control.ts";
import { subscribedHost, send, notifications, notifiedTypes } from "./subscribed-host.ts";
import { reportOf, runIdAt } from "./reported.ts";
import { DAY, passTime, HOUR, MINUTE, openIncidentKinds } from "./sweeps.ts";

/** Backups due at each midnight UTC, without a delay: late a fifth of a day after. */
async function daily(database: (typeof DATABASES)[number] = "file", settings: object = {}) {
  const all = await subscribedHost(database);
  await change(all.control, all.binding.id, {
    timerConfig: { OnCalendar: "daily", RandomizedDelaySec: "0" },
    zone: "UTC",
    ...settings,
  });
  return all;
}

function change(control: TestControl, binding: string, settings: object): Promise<Binding> {
  return control.admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding}`, { settings });
}

function healthOf(control: TestControl, binding: string): Promise<Binding> {
  return control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding}`);
}

/** A backup that begins at this moment and takes a minute. */
function backupNow(control: TestControl, binding: string, state: "succeeded" | "failed" | "running" = "succeeded") {
  return reportOf({ id: runIdAt(instant(control.deps.clock.now())), binding, state });
}

describe.each(DATABASES)("with a database of the kind %s", (database) => {
  test("a missing backup is notified once, with any number of concurrent sweeps, and again when it came", async () => {
    const { control, host, binding, contract, repository } = await daily(database);
    await send(host, backupNow(control, binding.id));
    await passTime(control, 20 * HOUR + 48 * MINUTE - 1, [host]);
    expect(await notifiedTypes(control)).toEqual([]);
    const lateAt = "2026-11-24T04:48:00.000Z";
    expect(await healthOf(control, binding.id)).toMatchObject({ health: "healthy", lateAt });
    control.pass(1);
    expect(await healthOf(control, binding.id)).toMatchObject({ health: "late", lateAt });
    await Promise.all(Array.from({ length: 20 }, () => sweepHealth(control.deps)));
    await sweepHealth(control.deps);
    expect(await openIncidentKinds(control)).toEqual(["binding.late"]);
    const about = {
      binding: { id: binding.id, name: "photos" },
      contract: { id: contract.id, name: "photos" },
      repository: { id: repository.id, name: "photos" },
      host: { id: host.id, name: "one" },
    };
    expect(await notifications(control)).toMatchObject([
      {
        type: "backup.late",
        data: {
          ...about,
          dueAt: "2026-11-24T00:00:00.000Z",
          lateAt: "2026-11-24T04:48:00.000Z",
          lastGoodAt: "2026-11-23T08:00:00.000Z",
        },
      },
    ]);
    control.pass(1000);
    const cure = backupNow(control, binding.id);
    await send(host, cure);
    await send(host, cure);
    await passTime(control, HOUR, [host]);
    expect(await openIncidentKinds(control)).toEqual([]);
    expect(await healthOf(control, binding.id)).toMatchObject({
      health: "healthy",
      lateAt: "2026-11-25T04:48:00.000Z",
    });
    const [, recovered, ...more] = await notifications(control);
    expect(recovered).toMatchObject({ type: "backup.recovered", data: { run: { id: cure.run.id }, ...about } });
    expect(more).toEqual([]);
  });
});

test("a binding without a good backup is unprotected, but only after its first time and grace", async () => {
  const { control, host, binding } = await daily();
  await passTime(control, 20 * HOUR, [host]);
  expect(await notifiedTypes(control)).toEqual([]);
  await passTime(control, HOUR, [host]);
  expect(await openIncidentKinds(control)).toEqual(["binding.unprotected"]);
  await send(host, backupNow(control, binding.id));
  expect(await notifiedTypes(control)).toEqual(["backup.recovered", "backup.unprotected"]);
});

test("neither a pause nor a change notifies: paused, no backup is expected; changed, none is missed yet", async () => {
  const { control, host, binding } = await daily();
  await send(host, backupNow(control, binding.id));
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/pause`);
  await passTime(control, 9 * DAY, [host]);
  expect(await healthOf(control, binding.id)).toMatchObject({ health: "paused", lateAt: null });
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/resume`);
  await passTime(control, 14 * MINUTE, [host]);
  await change(control, binding.id, { timerConfig: { OnCalendar: "hourly" } });
  await passTime(control, 14 * MINUTE, [host]);
  expect(await notifiedTypes(control)).toEqual([]);
  await passTime(control, 2 * HOUR, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.late"]);
  await change(control, binding.id, { enable: false });
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([[], ["backup.late"]]);
  expect(await healthOf(control, binding.id)).toMatchObject({ health: "paused", lateAt: null });
});

test("a new name or retention does not postpone lateness", async () => {
  const { control, host, binding } = await daily();
  await send(host, backupNow(control, binding.id));
  await passTime(control, 20 * HOUR, [host]);
  await control.admin.send("PATCH", `/api/v1/bindings/${binding.id}`, { name: "pictures" });
  await change(control, binding.id, { retention: { keep_daily: 3 } });
  await passTime(control, HOUR, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.late"]);
});

test("a running backup is not late, a failed one is failing, and late again once no attempt follows", async () => {
  const { control, host, binding } = await daily();
  await send(host, backupNow(control, binding.id));
  await passTime(control, 16 * HOUR, [host]);
  const long = backupNow(control, binding.id, "running");
  await send(host, long);
  expect(await healthOf(control, binding.id)).toMatchObject({ health: "healthy" });
  for (let hour = 0; hour < 7; hour++) {
    await passTime(control, HOUR, [host]);
    await send(host, { ...long, sequence: hour + 2 });
  }
  expect(await notifiedTypes(control)).toEqual([]);
  await send(host, {
    ...backupNow(control, binding.id, "failed"),
    sequence: 20,
    run: { ...long.run, state: "failed" },
  });
  await passTime(control, 2 * HOUR, [host]);
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  await passTime(control, DAY, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.late", "run.failed"]);
});

test("a late report of an old good backup does not hide that today's is missing", async () => {
  const { control, host, binding } = await daily();
  const early = backupNow(control, binding.id);
  await passTime(control, 3 * DAY, [host]);
  await send(host, early);
  await passTime(control, 14 * MINUTE, [host]);
  expect(await openIncidentKinds(control)).toEqual(["binding.late"]);
  expect(await notifiedTypes(control)).toEqual(["backup.late", "backup.unprotected"]);
});

test("a host whose clock was a year ahead does not hide late backups for a year", async () => {
  const { control, host, binding } = await daily();
  const report = backupNow(control, binding.id);
  await send(host, { ...report, run: { ...report.run, startedAt: "2027-11-23T08:00:00.000Z" } });
  await passTime(control, 2 * DAY, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.late"]);
});

test("after a downtime nothing is late before all hosts had time to report", async () => {
  const { control, host, binding } = await daily();
  await send(host, backupNow(control, binding.id));
  control.pass(3 * DAY);
  for (let time = 0; time < 4; time++) {
    control.pass(2 * MINUTE);
    await sweepHealth(control.deps);
  }
  expect(await notifiedTypes(control)).toEqual([]);
  await send(host, backupNow(control, binding.id));
  await passTime(control, HOUR, [host]);
  expect(await notifiedTypes(control)).toEqual([]);
});

test("on a day of a clock change a backup is due when the host starts it", async () => {
  const { control, host, binding } = await daily("file", {
    zone: "Europe/Berlin",
    timerConfig: { OnCalendar: "02:30", RandomizedDelaySec: "0" },
    alerts: { grace: "10m" },
  });
  control.pass(Date.parse("2027-03-27T03:00:00.000Z") - control.deps.clock.now());
  await send(host, backupNow(control, binding.id));
  // 02:30 of the 28th is skipped there: it comes next on the 29th, in summer time.
  await passTime(control, Date.parse("2027-03-29T00:39:59.000Z") - control.deps.clock.now(), [host]);
  expect(await notifiedTypes(control)).toEqual([]);
  await passTime(control, MINUTE, [host]);
  expect(await notifications(control)).toMatchObject([{ data: { dueAt: "2027-03-29T00:30:00.000Z" } }]);
});

test("without a calendar a backup is expected so long after the last one; a change adds a span or takes it away", async () => {
  const { control, host, binding } = await daily();
  const spans = { OnCalendar: [], OnUnitInactiveSec: "6h" };
  const changed = await change(control, binding.id, { timerConfig: spans });
  expect(changed.settings.timerConfig).toEqual({ ...spans, RandomizedDelaySec: "0", Persistent: true });
  // The first is due as soon as the host knows: within six minutes, and a fifth of six hours after that it is late.
  expect(changed).toMatchObject({ nextRunAt: "2026-11-23T08:00:00.000Z", lateAt: "2026-11-23T09:18:00.000Z" });
  control.pass(10 * MINUTE);
  await send(host, backupNow(control, binding.id));
  const next = { nextRunAt: "2026-11-23T14:11:00.000Z", lateAt: "2026-11-23T15:23:00.000Z" };
  expect(await healthOf(control, binding.id)).toMatchObject(next);
  // From the start of the last one, and a failed one has one, too.
  const { settings } = await change(control, binding.id, {
    timerConfig: { OnUnitActiveSec: "3h", OnUnitInactiveSec: null },
  });
  expect(settings.timerConfig).not.toHaveProperty("OnUnitInactiveSec");
  control.pass(HOUR);
  await send(host, backupNow(control, binding.id, "failed"));
  expect(await healthOf(control, binding.id)).toMatchObject({
    nextRunAt: "2026-11-23T12:10:00.000Z",
    lateAt: "2026-11-23T11:46:00.000Z",
  });
  await passTime(control, 3 * HOUR + 35 * MINUTE, [host]);
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  await passTime(control, 2 * MINUTE, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.late", "run.failed"]);
});

test("with OnBootSec alone no backup is expected: nobody knows when the host is started", async () => {
  const { control, host, binding } = await daily();
  await change(control, binding.id, { timerConfig: { OnCalendar: [], OnBootSec: "10m" } });
  await passTime(control, 3 * DAY, [host]);
  expect(await healthOf(control, binding.id)).toMatchObject({ nextRunAt: null, lateAt: null, health: "unprotected" });
  expect(await notifiedTypes(control)).toEqual([]);
});

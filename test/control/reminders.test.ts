import { describe, expect, test } from "vitest";
import { remindOfIncidents } from "../../control/domain/incidents/sweep.ts";
import type { IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { page } from "../../shared/api.ts";
import { Incident, IncidentWithTimeline } from "../../shared/incident.ts";
import { DATABASES, testControl, type TestControl } from "../support/control.ts";
import { addChannel, DAY, deliveriesOf, fail, HOUR, recover } from "./incident-steps.ts";

const TROUBLE: IncidentRef = {
  kind: "host.trouble",
  host: "01936f0e-0000-7000-8000-00000000000a",
  detail: "disk.full /",
};

async function only({ admin }: TestControl) {
  const { items } = await admin.ask(page(Incident), "GET", "/api/v1/incidents");
  return admin.ask(IncidentWithTimeline, "GET", `/api/v1/incidents/${items[0]?.id}`);
}

/** Channels that want to be reminded every so many days, by name, and how often each was. */
async function reminded(channels: Record<string, object>, database: (typeof DATABASES)[number] = "file") {
  const control = await testControl({ database });
  const names = new Map<string, string>();
  for (const [name, more] of Object.entries(channels)) {
    const { body } = await addChannel(control, name, more);
    names.set((body as { id: string }).id, name);
  }
  const times = async () => {
    const counts = Object.fromEntries(Object.keys(channels).map((name) => [name, 0]));
    for (const { channel, type } of await deliveriesOf(control)) {
      const name = names.get(channel) ?? "?";
      if (type === "incident.reminder") counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  };
  /** As the sweep does, and several at once. */
  const look = () => Promise.all([1, 2, 3].map(() => remindOfIncidents(control.deps)));
  return { control, times, look };
}

describe.each(DATABASES)("with a database of the kind %s", (database) => {
  test("each channel is reminded at its interval, once with any number of concurrent sweeps", async () => {
    const every = {
      daily: { remindEveryDays: 1 },
      third: {},
      weekly: { remindEveryDays: 7 },
      never: { remindEveryDays: null },
    };
    const { control, times, look } = await reminded(every, database);
    await fail(control, TROUBLE, "the disk is full");
    control.pass(DAY - 1);
    await look();
    expect(await times()).toEqual({ daily: 0, third: 0, weekly: 0, never: 0 });
    control.pass(1);
    for (let day = 0; day < 7; day++) {
      await look();
      control.pass(DAY);
    }
    expect(await times()).toEqual({ daily: 7, third: 2, weekly: 1, never: 0 });
    const { id, timeline } = await only(control);
    expect(timeline.filter(({ what }) => what === "reminded")).toHaveLength(7);
    const last = (await deliveriesOf(control, `&incident=${id}`)).at(-1);
    expect(last).toMatchObject({ type: "incident.reminder", incident: id });
    expect(last?.payload.data).toMatchObject({
      summary: "the disk is full",
      text: "the disk is full",
      days: 7,
      isFlapping: false,
      incident: { id, kind: "host.trouble", openedAt: "2026-11-23T08:00:00.000Z" },
    });
  });
});

test("after a downtime of days one reminder is sent, and then at the old times", async () => {
  const { control, times, look } = await reminded({ daily: { remindEveryDays: 1 }, third: {} });
  await fail(control, TROUBLE);
  control.pass(5 * DAY + HOUR);
  await look();
  expect(await times()).toEqual({ daily: 1, third: 1 });
  control.pass(DAY - HOUR - 1);
  await look();
  expect(await times()).toEqual({ daily: 1, third: 1 });
  control.pass(1);
  await look();
  expect(await times()).toEqual({ daily: 2, third: 2 });
});

test("acknowledged and closed incidents get no reminders; a channel with run.failed only does", async () => {
  const every = { failures: { events: ["run.failed"], remindEveryDays: 1 }, others: { events: ["backup.late"] } };
  const { control, times, look } = await reminded(every);
  await fail(control, TROUBLE);
  control.pass(DAY);
  await look();
  expect(await times()).toEqual({ failures: 1, others: 0 });
  await control.admin.send("POST", `/api/v1/incidents/${(await only(control)).id}/acknowledge`, { note: "on Monday" });
  control.pass(9 * DAY);
  await look();
  expect(await times()).toEqual({ failures: 1, others: 0 });
  await recover(control, TROUBLE);
  control.pass(DAY);
  await fail(control, TROUBLE);
  await recover(control, TROUBLE);
  control.pass(9 * DAY);
  await look();
  expect(await times()).toEqual({ failures: 1, others: 0 });
});

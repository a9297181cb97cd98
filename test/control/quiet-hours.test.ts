import { describe, expect, test } from "vitest";
import type { Post } from "../../control/deps.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import type { IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { messageTextOf } from "../../control/notify/message-text.ts";
import type { QuietHours } from "../../shared/channel.ts";
import { type Delivery, Event } from "../../shared/event.ts";
import { quietUntil } from "../../shared/quiet-hours.ts";
import { DATABASES, testControl } from "../support/control.ts";
import { addChannel, deliveriesOf, fail, forget, HOUR, MINUTE, recover } from "./incident-steps.ts";

const HOST = "01936f0e-0000-7000-8000-00000000000a";
const troubleOf = (detail: string): IncidentRef => ({ kind: "host.trouble", host: HOST, detail });
const NIGHT = { from: "22:00", to: "07:00", zone: "Europe/Berlin" };

/** @returns what has really arrived, as type and id, and what sends it */
async function sleeping(database: (typeof DATABASES)[number] = "file") {
  const control = await testControl({ database, now: "2026-11-23T20:59:00.000Z" });
  const sent: { type: string; id: string }[] = [];
  let status = 204;
  const post: Post = async ({ headers, body }) => {
    if (status === 204) sent.push({ type: Event.parse(JSON.parse(body)).type, id: headers["webhook-id"] ?? "" });
    return { status };
  };
  const { body } = await addChannel(control, "ops", { quietHours: NIGHT });
  const send = () => dispatch({ ...control.deps, post });
  const answer = (next: number): void => void (status = next);
  return { control, sent, send, answer, path: `/api/v1/channels/${(body as { id: string }).id}` };
}

const digestOf = (all: Delivery[]) => all.find(({ type }) => type === "incident.digest")?.payload;

describe.each(DATABASES)("with a database of the kind %s", (database) => {
  test("notifications in quiet hours are held, and listed in one digest at their end, with any number of dispatchers", async () => {
    const { control, sent, send } = await sleeping(database);
    const many = () => Promise.all([1, 2, 3].map(() => send()));
    await fail(control, troubleOf("before"));
    await many();
    control.pass(MINUTE);
    await fail(control, troubleOf("stays"), "the disk is full");
    await fail(control, troubleOf("passes"), "the spool is damaged");
    await fail(control, troubleOf("paused"), "it is late");
    await many();
    control.pass(HOUR);
    await recover(control, troubleOf("passes"));
    await recover(control, troubleOf("before"));
    await forget(control, troubleOf("paused"));
    expect(await send()).toBe(Date.parse("2026-11-24T06:00:00.000Z"));
    expect(sent.map(({ type }) => type)).toEqual(["run.failed"]);
    control.pass(8 * HOUR);
    await many();

    expect(sent.map(({ type }) => type)).toEqual(["run.failed", "incident.digest"]);
    const all = await deliveriesOf(control);
    expect(all.map(({ type, state }) => `${type} ${state}`).toSorted()).toEqual([
      "incident.digest delivered",
      "run.failed delivered",
      "run.failed digested",
      "run.failed digested",
      "run.failed digested",
      "run.recovered digested",
      "run.recovered digested",
    ]);
    const digest = digestOf(all);
    expect(digest?.data).toMatchObject({ count: 5, more: 0, since: "2026-11-23T21:00:00.000Z" });
    expect(digest?.data["items"]).toMatchObject([
      { title: "still open: the disk is full", state: "open", incident: { closedAt: null } },
      { title: "no longer monitored: it is late", state: "over" },
      { title: "resolved: the spool is damaged", state: "over", incident: { closedAt: "2026-11-23T22:00:00.000Z" } },
      { title: "resolved: the backup fails", state: "over" },
    ]);
    // The day is as any other.
    await recover(control, troubleOf("stays"));
    await send();
    expect(sent.at(-1)?.type).toBe("run.recovered");
  });
});

test("a channel test and a manual retry are sent at once", async () => {
  const { control, sent, send, path } = await sleeping();
  control.pass(MINUTE);
  await fail(control, troubleOf("held"));
  await send();
  await control.admin.send("POST", `${path}/test`);
  await send();
  expect(sent.map(({ type }) => type)).toEqual(["channel.test"]);
  const [held] = await deliveriesOf(control, "&state=held");
  await control.admin.send("POST", `/api/v1/deliveries/${held?.id}/retry`);
  await send();
  expect(sent.at(-1)).toEqual({ type: "run.failed", id: held?.id });
  control.pass(9 * HOUR);
  await send();
  expect(sent).toHaveLength(2);
});

test("a dispatcher that crashes before its batch leaves everything held, and the next one sends one digest", async () => {
  const { control, sent, send } = await sleeping();
  control.pass(MINUTE);
  await fail(control, troubleOf("held"));
  await send();
  control.pass(9 * HOUR);
  await control.deps.db.run(`create trigger dies before update of state on deliveries when new.state = 'digested'
    begin select raise(abort, 'killed'); end`);
  await expect(send()).rejects.toThrow();
  expect(await deliveriesOf(control)).toMatchObject([{ type: "run.failed", state: "held" }]);
  await control.deps.db.run("drop trigger dies");
  await send();
  await send();
  expect(sent.map(({ type }) => type)).toEqual(["incident.digest"]);
});

test("a digest that fails waits until the next quiet hours end, and is never part of another", async () => {
  const { control, sent, send, answer } = await sleeping();
  control.pass(MINUTE);
  await fail(control, troubleOf("held"));
  await send();
  answer(503);
  control.deps.log.error = () => undefined;
  for (let hour = 0; hour < 32; hour++) {
    control.pass(HOUR);
    await send();
  }
  answer(204);
  const [digest] = await deliveriesOf(control, "&state=pending");
  expect(digest).toMatchObject({ type: "incident.digest", nextAttemptAt: "2026-11-25T06:00:00.000Z" });
  control.pass(HOUR);
  await send();
  expect(sent).toEqual([{ type: "incident.digest", id: digest?.id }]);
});

test("changed or removed quiet hours apply at once, also to held deliveries", async () => {
  const { control, sent, send, path } = await sleeping();
  control.pass(MINUTE);
  await fail(control, troubleOf("held"));
  await send();
  await control.admin.send("PATCH", path, { quietHours: { ...NIGHT, to: "08:30" } });
  expect(await send()).toBe(Date.parse("2026-11-24T07:30:00.000Z"));
  expect(sent).toEqual([]);
  await control.admin.send("PATCH", path, { quietHours: null });
  await send();
  expect(sent.map(({ type }) => type)).toEqual(["incident.digest"]);
});

test("an incident that closed and opened again at night is listed as open", async () => {
  const { control, send } = await sleeping();
  control.pass(MINUTE);
  for (const name of ["once", "twice"]) {
    await fail(control, troubleOf(name), name);
    await recover(control, troubleOf(name));
  }
  control.pass(MINUTE);
  await fail(control, troubleOf("twice"), "twice, again");
  await send();
  // After the quiet hours, before anybody looked.
  control.pass(9 * HOUR);
  await fail(control, troubleOf("once"), "once, again");
  await send();
  expect(digestOf(await deliveriesOf(control))?.data).toMatchObject({
    count: 5,
    more: 0,
    items: [
      { title: "still open: twice, again", state: "open" },
      { title: "open again: once", state: "open", incident: { closedAt: "2026-11-23T21:00:00.000Z" } },
    ],
  });
});

test("a long digest lists open incidents first, and counts the rest", async () => {
  const { control, send } = await sleeping();
  control.pass(MINUTE);
  for (let index = 0; index < 60; index++) await fail(control, troubleOf(`${index}`), `trouble ${index}`);
  for (let index = 30; index < 60; index++) await recover(control, troubleOf(`${index}`));
  await send();
  control.pass(9 * HOUR);
  await send();
  const digest = digestOf(await deliveriesOf(control));
  const items = digest?.data["items"] as { state: string }[];
  expect(digest?.data).toMatchObject({ count: 90, more: 10 });
  expect([items.length, items.findIndex(({ state }) => state === "over")]).toEqual([50, 30]);
  expect(digest === undefined ? "" : messageTextOf(digest).body).toContain("\n- and 10 more\n");
});

test.each<[what: string, hours: QuietHours, now: string, until: string | null]>([
  ["before", NIGHT, "2026-11-23T20:59:59.999Z", null],
  ["at the beginning", NIGHT, "2026-11-23T21:00:00.000Z", "2026-11-24T06:00:00.000Z"],
  ["after midnight", NIGHT, "2026-11-24T05:59:59.999Z", "2026-11-24T06:00:00.000Z"],
  ["at the end", NIGHT, "2026-11-24T06:00:00.000Z", null],
  ["in summer", NIGHT, "2026-07-01T20:00:00.000Z", "2026-07-02T05:00:00.000Z"],
  ["over the night that is an hour shorter", NIGHT, "2026-03-28T22:00:00.000Z", "2026-03-29T05:00:00.000Z"],
  ["over the night that is an hour longer", NIGHT, "2026-10-24T22:00:00.000Z", "2026-10-25T06:00:00.000Z"],
  ["by day", { from: "12:00", to: "13:30", zone: "UTC" }, "2026-11-23T12:30:00.000Z", "2026-11-23T13:30:00.000Z"],
  ["an end that the clocks skip", { ...NIGHT, to: "02:30" }, "2026-03-29T00:00:00.000Z", "2026-03-29T01:00:00.000Z"],
  ["an end that comes twice", { ...NIGHT, to: "02:30" }, "2026-10-25T00:00:00.000Z", "2026-10-25T00:30:00.000Z"],
  ["the second time", { ...NIGHT, to: "02:30" }, "2026-10-25T01:10:00.000Z", "2026-10-25T01:30:00.000Z"],
])("quiet hours in their time zone: %s", (_what, hours, now, until) => {
  const end = quietUntil(hours, Date.parse(now));
  expect(end === null ? null : new Date(end).toISOString()).toBe(until);
});

test("the end is not in quiet hours, the moment before it is", () => {
  for (const zone of ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]) {
    for (let minute = 0; minute < 366 * 24 * 60; minute += 997) {
      const now = Date.parse("2026-01-01T00:00:00.000Z") + minute * MINUTE;
      const until = quietUntil({ from: "21:30", to: "06:45", zone }, now);
      if (until === null) continue;
      expect([until > now, until - now <= 11 * HOUR]).toEqual([true, true]);
      expect(quietUntil({ from: "21:30", to: "06:45", zone }, until)).toBeNull();
      expect(quietUntil({ from: "21:30", to: "06:45", zone }, until - 1)).not.toBeNull();
    }
  }
});

test("invalid quiet hours are rejected at their field", async () => {
  const { control } = await sleeping();
  const refused = (quietHours: object) =>
    control.admin.refused("POST", "/api/v1/channels", {
      name: "x",
      kind: "webhook",
      url: "http://127.0.0.1/",
      quietHours,
    });
  expect(await refused({ ...NIGHT, zone: "Mars/Olympus" })).toMatchObject({
    code: "request.invalid",
    issues: [{ path: ["quietHours", "zone"], message: expect.stringContaining("IANA") }],
  });
  expect(await refused({ ...NIGHT, from: "24:00" })).toMatchObject({ issues: [{ path: ["quietHours", "from"] }] });
  expect(await refused({ ...NIGHT, to: NIGHT.from })).toMatchObject({ issues: [{ path: ["quietHours", "to"] }] });
});

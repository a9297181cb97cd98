import fc from "fast-check";
import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { incidents } from "../../control/db/schema/incidents.ts";
import type { IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { remindOfIncidents, settleIncidents } from "../../control/domain/incidents/sweep.ts";
import { page } from "../../shared/api.ts";
import { Incident, IncidentWithTimeline } from "../../shared/incident.ts";
import type { Delivery } from "../../shared/event.ts";
import { testControl, type TestControl } from "../support/control.ts";
import { addChannel, DAY, deliveriesOf, fail, forget, HOUR, MINUTE, recover } from "./incident-steps.ts";

const HOST = "01936f0e-0000-7000-8000-00000000000a";
const troubleOf = (detail: string): IncidentRef => ({ kind: "host.trouble", host: HOST, detail });
const TROUBLE = troubleOf("disk.full /srv");

async function flap(control: TestControl, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    control.pass(MINUTE);
    await fail(control, TROUBLE);
    control.pass(MINUTE);
    await recover(control, TROUBLE);
  }
}

/** As the sweep does, and several at once. */
async function sweep({ deps }: TestControl): Promise<void> {
  await Promise.all([1, 2, 3].map(() => settleIncidents(deps)));
}

async function newest({ admin }: TestControl) {
  const { items } = await admin.ask(page(Incident), "GET", "/api/v1/incidents?limit=1");
  return admin.ask(IncidentWithTimeline, "GET", `/api/v1/incidents/${items[0]?.id}`);
}

const typesOf = (sent: Delivery[]): string[] => sent.map(({ type }) => type);

test("an incident that opens four times within six hours is notified once as flapping, and as closed after a stable hour", async () => {
  const control = await testControl();
  await addChannel(control, "ops");
  await flap(control, 10);
  const six = ["run.failed", "run.recovered", "run.failed", "run.recovered", "run.failed", "run.recovered"];
  const sent = await deliveriesOf(control);
  expect(typesOf(sent)).toEqual([...six, "incident.flapping"]);
  expect(sent.at(-1)?.payload.data).toMatchObject({
    host: HOST,
    text: "the backup fails",
    summary: "the backup fails",
    openings: 4,
    since: "2026-11-23T08:01:00.000Z",
  });
  expect(await newest(control)).toMatchObject({ isFlapping: true, openings: 7, closedAt: "2026-11-23T08:20:00.000Z" });

  control.pass(HOUR - 1);
  await sweep(control);
  expect(await deliveriesOf(control)).toHaveLength(7);
  control.pass(1);
  await sweep(control);
  const last = (await deliveriesOf(control)).at(-1);
  const settled = await newest(control);
  expect(last).toMatchObject({ type: "run.recovered", incident: settled.id });
  expect(last?.payload.data).toMatchObject({ incident: { id: settled.id, kind: "host.trouble" } });
  expect(await deliveriesOf(control)).toHaveLength(8);
  expect(settled).toMatchObject({ isFlapping: false, closedAt: "2026-11-23T08:20:00.000Z" });
  const kinds = settled.timeline.map(({ what }) => what);
  expect([kinds.slice(0, 4), kinds.at(-1)]).toEqual([["opened", "damped", "closed", "reopened"], "settled"]);
});

test("a flapping incident that stays open is notified as open, reminded of, and notified when it closes", async () => {
  const control = await testControl();
  await addChannel(control, "only-failures", { events: ["run.failed"], remindEveryDays: 1 });
  await addChannel(control, "others", { events: ["run.recovered"] });
  await flap(control, 5);
  await fail(control, TROUBLE, "it fails still");
  control.pass(HOUR);
  await sweep(control);
  control.pass(DAY);
  await remindOfIncidents(control.deps);
  await recover(control, TROUBLE);
  const sent = await deliveriesOf(control);
  const three = ["run.failed", "run.failed", "run.failed"];
  // Who wants to hear of failures hears that they come and go.
  expect(typesOf(sent.filter(({ type }) => type !== "run.recovered"))).toEqual([
    ...three,
    "incident.flapping",
    "run.failed",
    "incident.reminder",
  ]);
  expect(sent.filter(({ type }) => type === "run.recovered")).toHaveLength(4);
  expect(sent.filter(({ type }) => type === "run.failed").at(-1)?.payload.data).toMatchObject({
    text: "it fails still",
  });
});

test("a flapping incident whose subject is paused or deleted is not notified again", async () => {
  const control = await testControl();
  await addChannel(control, "ops");
  await flap(control, 4);
  await fail(control, TROUBLE);
  await forget(control, TROUBLE);
  control.pass(2 * HOUR);
  await sweep(control);
  expect(await deliveriesOf(control)).toHaveLength(7);
  expect(await newest(control)).toMatchObject({ isFlapping: false });
});

test("a timeline stays short however often it flaps, and keeps its beginning", async () => {
  const control = await testControl();
  await flap(control, 4);
  const { timeline: entries, id } = await newest(control);
  const long = [...entries.slice(0, 2), ...Array.from({ length: 198 }, () => entries.at(-1))];
  await control.deps.db
    .update(incidents)
    .set({ timeline: sql`${JSON.stringify(long)}` })
    .where(eq(incidents.id, id));
  await flap(control, 1);
  const { timeline, openings } = await newest(control);
  expect([timeline.length, openings]).toEqual([200, 2]);
  expect(timeline.slice(0, 2).map(({ what }) => what)).toEqual(["opened", "damped"]);
  expect(timeline.slice(-2).map(({ what }) => what)).toEqual(["reopened", "closed"]);
});

type Step = { do: "fail" | "recover" | "sweep"; afterMinutes: number };

test("whatever flaps: few notifications per hour, no two alike in a row, and the last one is the current state", async () => {
  const control = await testControl();
  await addChannel(control, "ops");
  const step = fc.record({
    do: fc.constantFrom<Step["do"]>("fail", "recover", "sweep"),
    afterMinutes: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) },
      fc.integer({ min: 13, max: 200 }),
    ),
  });
  let sequence = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const trouble = troubleOf(String(sequence++));
      let isOpen: boolean | null = null;
      const before = new Set((await deliveriesOf(control)).map(({ id }) => id));
      for (const { do: action, afterMinutes } of steps) {
        control.pass(afterMinutes * MINUTE);
        if (action === "fail") {
          await fail(control, trouble);
          isOpen = true;
        } else if (action === "recover") {
          await recover(control, trouble);
          isOpen = isOpen === null ? null : false;
        } else await settleIncidents(control.deps);
      }
      control.pass(HOUR);
      await sweep(control);
      const sent = (await deliveriesOf(control)).filter(({ id }) => !before.has(id));
      await control.deps.db.run("delete from deliveries");
      expect(typesOf(sent).at(-1)).toBe(isOpen === null ? undefined : isOpen ? "run.failed" : "run.recovered");
      const alike = sent.filter(({ type }, index) => index > 0 && type === sent[index - 1]?.type);
      expect(alike).toEqual([]);
      expect(sent[0]?.type).not.toBe("run.recovered");
      const times = sent.map(({ createdAt }) => Date.parse(createdAt));
      const busiest = Math.max(0, ...times.map((at) => times.filter((t) => t >= at && t < at + HOUR).length));
      expect(busiest).toBeLessThanOrEqual(9);
    }),
    { numRuns: 25 },
  );
});

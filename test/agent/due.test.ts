import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decide } from "../../agent/due.ts";
import type { History } from "../../agent/due.ts";
import { randomizedDelayMs } from "../../shared/schedule.ts";
import { assignmentOf, newId } from "./signer.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const at = (text: string): number => Date.parse(text);

function bindingOf(timerConfig: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const settings = { timerConfig: { RandomizedDelaySec: "0", ...timerConfig }, zone: "UTC", ...more };
  const [binding] = assignmentOf(newId(), 1, settings).bindings;
  if (binding === undefined) throw new Error("the assignment has one binding");
  return binding;
}

/** Lives through moments one after the other, running what is due. @returns what ran, as `TIME trigger` */
function live(binding: ReturnType<typeof bindingOf>, moments: string[], zone = "UTC"): string[] {
  let history: History | null = null;
  const ran: string[] = [];
  for (const moment of moments) {
    const decision = decide({ task: binding, zone, now: at(moment), history });
    if (decision.kind === "run") ran.push(`${new Date(decision.dueAt).toISOString()} ${decision.trigger}`);
    history = decision.history;
  }
  return ran;
}

test("a new binding runs at its next time first, and then once each time", () => {
  const moments = ["2026-11-23T08:10:00Z", "2026-11-23T08:59:59Z", "2026-11-23T09:00:00Z", "2026-11-23T09:00:30Z"];
  expect(live(bindingOf({ OnCalendar: "hourly" }), [...moments, "2026-11-23T10:00:29Z"])).toEqual([
    "2026-11-23T09:00:00.000Z schedule",
    "2026-11-23T10:00:00.000Z schedule",
  ]);
});

test("times missed in a sleep are caught up by one run when Persistent, and skipped when not", () => {
  const moments = ["2026-11-23T08:10:00Z", "2026-11-26T12:34:00Z", "2026-11-26T12:34:30Z", "2026-11-26T13:00:01Z"];
  expect(live(bindingOf({ OnCalendar: "hourly", Persistent: true }), moments)).toEqual([
    "2026-11-26T12:00:00.000Z catch-up",
    "2026-11-26T13:00:00.000Z schedule",
  ]);
  expect(live(bindingOf({ OnCalendar: "hourly", Persistent: false }), moments)).toEqual([
    "2026-11-26T13:00:00.000Z schedule",
  ]);
});

test("a year away is one run, found quickly even for a calendar of every second", () => {
  const moments = ["2025-11-23T08:10:00Z", "2026-11-23T08:10:00Z"];
  expect(live(bindingOf({ OnCalendar: "*-*-* *:*:*" }), moments)).toEqual(["2026-11-23T08:10:00.000Z schedule"]);
  expect(live(bindingOf({ OnCalendar: "weekly" }), moments)).toEqual(["2026-11-23T00:00:00.000Z catch-up"]);
});

test("a clock set back never brings the same time again", () => {
  const moments = ["2026-11-23T08:10:00Z", "2026-11-23T09:00:00Z", "2026-11-23T08:30:00Z", "2026-11-23T09:00:10Z"];
  expect(live(bindingOf({ OnCalendar: "hourly" }), [...moments, "2026-11-23T10:00:00Z"])).toEqual([
    "2026-11-23T09:00:00.000Z schedule",
    "2026-11-23T10:00:00.000Z schedule",
  ]);
});

test("a clock that was years ahead does not stop the backups for years", () => {
  const moments = ["2026-11-23T08:10:00Z", "2036-01-01T00:00:00Z", "2026-11-23T08:20:00Z", "2026-11-23T09:00:00Z"];
  expect(live(bindingOf({ OnCalendar: "hourly" }), moments)).toEqual([
    "2036-01-01T00:00:00.000Z schedule",
    "2026-11-23T09:00:00.000Z schedule",
  ]);
});

test("an hour that the clocks show twice is one time, and one they skip is none", () => {
  const binding = bindingOf({ OnCalendar: "*-*-* 02:30:00" }, { zone: "Europe/Berlin" });
  const everyTenMinutes = (from: string, hours: number): string[] =>
    Array.from({ length: hours * 6 }, (_, index) => new Date(at(from) + index * 10 * MINUTE).toISOString());
  expect(live(binding, everyTenMinutes("2026-10-24T12:00:00Z", 24))).toEqual(["2026-10-25T00:30:00.000Z schedule"]);
  expect(live(binding, everyTenMinutes("2026-03-28T12:00:00Z", 48))).toEqual(["2026-03-30T00:30:00.000Z schedule"]);
});

test("without a zone of its own a binding keeps the host's", () => {
  const moments = ["2026-11-23T00:00:00Z", "2026-11-23T05:00:00Z"];
  const daily = { OnCalendar: "*-*-* 00:00:00" };
  expect(live(bindingOf(daily, { zone: null }), moments, "America/New_York")).toHaveLength(1);
  expect(live(bindingOf(daily, { zone: "Asia/Tokyo" }), moments, "America/New_York")).toHaveLength(0);
});

test.each([
  ["paused", { paused: true }],
  ["disabled", { settings: { enable: false } }],
])("a %s binding never runs, and its times are not made up for afterwards", (_name, change) => {
  const on = bindingOf({ OnCalendar: "hourly" });
  const off = { ...on, ...change, settings: { ...on.settings, ...("settings" in change ? change.settings : {}) } };
  const start = decide({ task: on, zone: "UTC", now: at("2026-11-23T08:10:00Z"), history: null });
  const slept = decide({ task: off, zone: "UTC", now: at("2026-11-23T12:10:00Z"), history: start.history });
  expect(slept).toMatchObject({ kind: "wait", nextDueAt: null });
  const woken = decide({ task: on, zone: "UTC", now: at("2026-11-23T12:20:00Z"), history: slept.history });
  expect(woken).toMatchObject({ kind: "wait", nextDueAt: at("2026-11-23T13:00:00Z") });
});

test("a changed calendar counts from its change: nothing before it was missed", () => {
  const weekly = bindingOf({ OnCalendar: "weekly" });
  const hourly = { ...weekly, settings: bindingOf({ OnCalendar: "hourly" }).settings };
  const before = decide({ task: weekly, zone: "UTC", now: at("2026-11-24T08:10:00Z"), history: null });
  const after = decide({ task: hourly, zone: "UTC", now: at("2026-11-27T08:10:00Z"), history: before.history });
  expect(after).toMatchObject({ kind: "wait", nextDueAt: at("2026-11-27T09:00:00Z") });
});

test("the binding's own delay comes after each time, always the same", () => {
  const binding = bindingOf({ OnCalendar: "hourly", RandomizedDelaySec: "30m" });
  const delay = randomizedDelayMs(binding.id, 30 * MINUTE);
  const moment = (hour: number, plus: number): string =>
    new Date(at("2026-11-23T00:00:00Z") + hour * HOUR + delay + plus).toISOString();
  expect(live(binding, ["2026-11-23T08:59:00Z", moment(9, -1), moment(9, 0), moment(10, -1), moment(10, 1)])).toEqual([
    `${moment(9, 0)} schedule`,
    `${moment(10, 0)} schedule`,
  ]);
});

test("whatever the clock does, no time runs twice and each run's time has come", () => {
  const jump = fc.oneof(
    fc.integer({ min: 0, max: 30_000 }),
    fc.integer({ min: 0, max: 3 * DAY }),
    fc.integer({ min: -20 * HOUR, max: 0 }),
  );
  const calendars = fc.constantFrom("hourly", "daily", "*-*-* *:00/10:00", "Mon..Fri *-*-* 02:30:00");
  fc.assert(
    fc.property(calendars, fc.boolean(), fc.array(jump, { maxLength: 60 }), (OnCalendar, Persistent, jumps) => {
      const binding = bindingOf({ OnCalendar, Persistent, RandomizedDelaySec: "5m" }, { zone: "Europe/Berlin" });
      let now = at("2026-10-24T12:00:00Z");
      let furthest = now;
      let history: History | null = null;
      const ran: number[] = [];
      for (const by of jumps) {
        // Farther back than a day in all is another story: that clock was wrong, and is told above.
        now = Math.max(now + by, furthest - DAY);
        furthest = Math.max(furthest, now);
        const decision = decide({ task: binding, zone: "UTC", now, history });
        history = decision.history;
        const isWaiting = decision.kind === "wait";
        const time = isWaiting ? (decision.nextDueAt ?? now) : decision.dueAt;
        expect(time > now).toBe(isWaiting);
        if (!isWaiting) ran.push(time);
      }
      expect(new Set(ran).size).toBe(ran.length);
      expect(ran).toEqual(ran.toSorted((one, other) => one - other));
    }),
  );
});

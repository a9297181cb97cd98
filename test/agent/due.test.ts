import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decideTask } from "../../agent/daemon/due.ts";
import type { ScheduleState } from "../../agent/daemon/due.ts";
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
  let history: ScheduleState | null = null;
  const ran: string[] = [];
  for (const moment of moments) {
    const decision = decideTask({ task: binding, zone, now: at(moment), history });
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

test("times missed during a suspend are caught up by one run when Persistent, and skipped when not", () => {
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

test("an hour that occurs twice counts once, and a skipped hour not at all", () => {
  const binding = bindingOf({ OnCalendar: "*-*-* 02:30:00" }, { zone: "Europe/Berlin" });
  const everyTenMinutes = (from: string, hours: number): string[] =>
    Array.from({ length: hours * 6 }, (_, index) => new Date(at(from) + index * 10 * MINUTE).toISOString());
  expect(live(binding, everyTenMinutes("2026-10-24T12:00:00Z", 24))).toEqual(["2026-10-25T00:30:00.000Z schedule"]);
  expect(live(binding, everyTenMinutes("2026-03-28T12:00:00Z", 48))).toEqual(["2026-03-30T00:30:00.000Z schedule"]);
});

test("without its own time zone a binding uses the host's", () => {
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
  const start = decideTask({ task: on, zone: "UTC", now: at("2026-11-23T08:10:00Z"), history: null });
  const slept = decideTask({ task: off, zone: "UTC", now: at("2026-11-23T12:10:00Z"), history: start.history });
  expect(slept).toMatchObject({ kind: "wait", nextDueAt: null });
  const woken = decideTask({ task: on, zone: "UTC", now: at("2026-11-23T12:20:00Z"), history: slept.history });
  expect(woken).toMatchObject({ kind: "wait", nextDueAt: at("2026-11-23T13:00:00Z") });
});

test("a changed calendar counts from its change: nothing before it was missed", () => {
  const weekly = bindingOf({ OnCalendar: "weekly" });
  const hourly = { ...weekly, settings: bindingOf({ OnCalendar: "hourly" }).settings };
  const before = decideTask({ task: weekly, zone: "UTC", now: at("2026-11-24T08:10:00Z"), history: null });
  const after = decideTask({ task: hourly, zone: "UTC", now: at("2026-11-27T08:10:00Z"), history: before.history });
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

test.each([1, 24])("a clock that was %i h ahead for a while leaves no gap once it is right again", (hours) => {
  const ahead = (text: string): string => new Date(at(text) + hours * HOUR).toISOString();
  const moments = ["2026-11-23T08:10:00Z", ahead("2026-11-23T08:20:00Z"), "2026-11-23T08:30:00Z"];
  const every = bindingOf({ OnCalendar: "*-*-* *:00/10:00" });
  expect(live(every, [...moments, "2026-11-23T08:40:00Z", "2026-11-23T08:50:00Z"])).toEqual([
    ahead("2026-11-23T08:20:00.000Z").replace("Z", "Z schedule"),
    "2026-11-23T08:40:00.000Z schedule",
    "2026-11-23T08:50:00.000Z schedule",
  ]);
});

test("a binding first seen while the clock was ahead does not wait until that day", () => {
  const moments = ["2026-11-24T08:10:00Z", "2026-11-23T08:10:00Z", "2026-11-23T09:00:00Z"];
  expect(live(bindingOf({ OnCalendar: "hourly" }), moments)).toEqual(["2026-11-23T09:00:00.000Z schedule"]);
});

/** A clock that is wrong by this much from that moment of the true time on, both in ms. */
interface Setting {
  readonly at: number;
  readonly error: number;
}

/** Lives from setting to setting of the clock, asking whenever the last answer said to, as the scheduler does. */
function liveWith(binding: ReturnType<typeof bindingOf>, settings: readonly Setting[], until: number) {
  const ran: { trueTime: number; dueAt: number; trigger: string; setting: number }[] = [];
  let history: ScheduleState | null = null;
  for (const [index, { at: from, error }] of settings.entries()) {
    const end = settings[index + 1]?.at ?? until;
    for (let now = from; now < end;) {
      const decision = decideTask({ task: binding, zone: "UTC", now: now + error, history });
      history = decision.history;
      if (decision.kind === "run") {
        ran.push({ trueTime: now, dueAt: decision.dueAt, trigger: decision.trigger, setting: index });
        continue;
      }
      expect(decision.nextDueAt).toBeGreaterThan(now + error);
      now = (decision.nextDueAt ?? Number.POSITIVE_INFINITY) - error;
    }
  }
  return ran;
}

const calendars = fc.constantFrom("hourly", "daily", "*-*-* *:00/10:00", "Mon..Fri *-*-* 02:30:00", "*-*-* 02:30:00");
const errors = fc.oneof(
  fc.constantFrom(-DAY, -HOUR, -MINUTE, 0, MINUTE, HOUR, DAY, 3650 * DAY),
  fc.integer({ min: -3 * DAY, max: 3 * DAY }),
);
const clocks = fc.array(fc.record({ lasts: fc.integer({ min: 1000, max: 2 * DAY }), error: errors }), {
  maxLength: 12,
});

/** The clocks go over both changes of the year, right at first and right in the end. */
function settingsOf(steps: readonly { lasts: number; error: number }[], start: number): Setting[] {
  const settings: Setting[] = [{ at: start, error: 0 }];
  let now = start + 3 * HOUR;
  for (const { lasts, error } of steps) {
    settings.push({ at: now, error });
    now += lasts;
  }
  return [...settings, { at: now, error: 0 }];
}

test("whatever the clock does: at most one catch-up per change, and no time twice unless it is set back", () => {
  fc.assert(
    fc.property(
      calendars,
      fc.boolean(),
      clocks,
      fc.constantFrom("2026-10-23T12:00:00Z", "2026-03-27T12:00:00Z"),
      (OnCalendar, Persistent, steps, start) => {
        const binding = bindingOf({ OnCalendar, Persistent, RandomizedDelaySec: "5m" }, { zone: "Europe/Berlin" });
        const settings = settingsOf(steps, at(start));
        const ran = liveWith(binding, settings, (settings.at(-1)?.at ?? 0) + DAY);
        for (const [index, setting] of settings.entries()) {
          const here = ran.filter((run) => run.setting === index);
          const caughtUp = here.filter(({ trigger }) => trigger === "catch-up");
          expect(caughtUp.length).toBeLessThanOrEqual(
            Persistent && setting.error > (settings[index - 1]?.error ?? 0) ? 1 : 0,
          );
          const times = here.map(({ dueAt }) => dueAt);
          expect(times).toEqual([...new Set(times)].toSorted((one, other) => one - other));
          for (const { trueTime, dueAt } of here) expect(dueAt).toBeLessThanOrEqual(trueTime + setting.error);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test("whatever the clock did: once it is correct, all times after the next one are as usual", () => {
  fc.assert(
    fc.property(calendars, fc.boolean(), clocks, (OnCalendar, Persistent, steps) => {
      const binding = bindingOf({ OnCalendar, Persistent, RandomizedDelaySec: "5m" }, { zone: "Europe/Berlin" });
      const settings = settingsOf(steps, at("2026-10-23T12:00:00Z"));
      const right = settings.at(-1)?.at ?? 0;
      const until = right + 4 * DAY;
      const timesIn = (all: readonly Setting[]): number[] =>
        liveWith(binding, all, until)
          .filter(({ trueTime, trigger }) => trueTime >= right && trigger === "schedule")
          .map(({ dueAt }) => dueAt);
      const [, second] = timesIn([{ at: right, error: 0 }]);
      // An hour that is shown twice has other times for who begins in its second showing: two hours later that is over.
      const from = Math.max(second ?? right, right + 2 * HOUR);
      const after = (times: number[]): number[] => times.filter((time) => time >= from);
      expect(after(timesIn(settings))).toEqual(after(timesIn([{ at: right, error: 0 }])));
    }),
    { numRuns: 25 },
  );
});

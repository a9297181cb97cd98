import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideTask, type ScheduleState } from "../../agent/daemon/due.ts";
import { Settings } from "../../shared/binding.ts";
import { nextExpectedAfter } from "../../shared/lateness.ts";
import { parseTimetable } from "../../shared/schedule.ts";
import { delayOf, type LastStart, parseTimer } from "../../shared/timer.ts";
import { expression, ZONES } from "./expressions.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function bindingOf(timerConfig: Record<string, unknown>, grace: string | null = null) {
  const id = "0198c5f0-7b3a-7c00-8000-000000000001";
  return { id, name: "photos", paused: false, settings: Settings.parse({ timerConfig, alerts: { grace } }) };
}

function delayIn({ id, settings }: ReturnType<typeof bindingOf>): number {
  const timer = parseTimer(settings.timerConfig);
  return timer.ok ? delayOf(timer.value, id, 0) : 0;
}

/** How long after it is due one that never failed is late. */
function graceOf(OnCalendar: string, grace: string | null = null): number {
  const binding = bindingOf({ OnCalendar, RandomizedDelaySec: "0" }, grace);
  const at = Date.parse("2026-11-23T08:00:00.000Z");
  const expected = nextExpectedAfter(binding, { zone: "UTC", goodMs: at, sinceMs: at - DAY });
  return (expected?.lateAt ?? 0) - (expected?.dueAt ?? 0);
}

describe("when a backup is late", () => {
  test("a fifth of the interval after it is due, from ten minutes to a day, or as the binding says", () => {
    expect(graceOf("daily")).toBe(4.8 * HOUR);
    expect(graceOf("hourly")).toBe(12 * MINUTE);
    expect(graceOf("*:0/5")).toBe(10 * MINUTE);
    expect(graceOf("monthly")).toBe(DAY);
    expect(graceOf("2027-01-01")).toBe(DAY);
    expect(graceOf("hourly", "2d")).toBe(2 * DAY);
    expect(
      nextExpectedAfter(bindingOf({ OnCalendar: "2020-01-01" }), { zone: "UTC", goodMs: null, sinceMs: DAY * 20_000 }),
    ).toBe(null);
  });

  test("is never late before the agent starts it, and due exactly then, for any schedule and zone", () => {
    const moment = fc.integer({ min: Date.parse("2024-01-01"), max: Date.parse("2030-01-01") });
    const delay = fc.constantFrom("0", "5m", "1h", "1d");
    const jitter = fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 4, maxLength: 4 });
    let compared = 0;
    fc.assert(
      fc.property(expression, fc.constantFrom(...ZONES), moment, delay, jitter, (text, zone, made, spread, jitters) => {
        if (!parseTimetable(text).ok) return;
        const task = bindingOf({ OnCalendar: text, RandomizedDelaySec: spread });
        // Made in the control plane, and heard of by the agent a little later.
        const heard = made + (jitters[0] ?? 0) * 5;
        let history: ScheduleState | null = null;
        let good: number | null = null;
        let now = heard;
        for (const late of jitters) {
          const decision = decideTask({ task, zone, now, history });
          history = decision.history;
          if (decision.kind === "run") good = now;
          const next = decision.kind === "run" ? decideTask({ task, zone, now, history }) : decision;
          const dueAt = next.kind === "wait" ? next.nextDueAt : now;
          const expected = nextExpectedAfter(task, { zone, goodMs: good, sinceMs: made });
          if (dueAt === null) {
            expect(expected).toBe(null);
            return;
          }
          if (good === null || good - delayIn(task) < made + 6 * MINUTE)
            expect(expected?.lateAt).toBeGreaterThanOrEqual(dueAt);
          else expect(expected?.dueAt).toBe(dueAt);
          compared++;
          now = dueAt + late;
        }
      }),
      { seed: 20_261_125, numRuns: 400 },
    );
    expect(compared).toBeGreaterThan(400);
  });

  test("counts OnUnitActiveSec from the start of the last good one, OnUnitInactiveSec from the end of the last", () => {
    const started = Date.parse("2026-11-23T08:00:00.000Z");
    const ask = (timerConfig: object, change: { goodMs?: number | null; endedMs?: number; sinceMs?: number } = {}) => {
      const input = { zone: "UTC", goodMs: started, sinceMs: started - DAY, ...change };
      const found = nextExpectedAfter(bindingOf({ RandomizedDelaySec: "0", ...timerConfig }), input);
      return found === null ? null : [found.dueAt - started, found.lateAt - found.dueAt].map((ms) => ms / MINUTE);
    };
    expect(ask({ OnUnitActiveSec: "6h" })).toEqual([360, 72]);
    expect(ask({ OnUnitActiveSec: ["6h", "2h"] })).toEqual([120, 24]);
    expect(ask({ OnUnitInactiveSec: "6h" }, { endedMs: started + HOUR })).toEqual([420, 72]);
    // The earliest of all, with the grace of the shortest interval.
    expect(ask({ OnUnitActiveSec: "6h", OnCalendar: "09:00" })).toEqual([60, 72]);
    expect(ask({ OnUnitActiveSec: "6h", OnCalendar: "15:00" })).toEqual([360, 12]);
    // After a boot, OnBootSec says when.
    expect(ask({ OnBootSec: "30m", OnUnitActiveSec: "6h" })).toEqual([360, 72 + 30]);
    expect(ask({ OnBootSec: "30m" })).toBeNull();
    expect(ask({ OnBootSec: "30m", OnCalendar: "09:00" })).toEqual([60, 288]);
    // The first is due as soon as the host knows the schedule; one that is new or resumed has missed nothing.
    expect(ask({ OnUnitActiveSec: "6h" }, { goodMs: null, sinceMs: started })).toEqual([6, 72]);
    expect(ask({ OnUnitActiveSec: "6h" }, { sinceMs: started + DAY })).toEqual([24 * 60 + 6, 72]);
  });

  const timers = fc.record(
    {
      OnCalendar: fc.constantFrom("hourly", "daily", "Mon 03:00", "*:00/10"),
      OnUnitActiveSec: fc.constantFrom("1m", "45m", "6h", "2d"),
      OnUnitInactiveSec: fc.constantFrom("1m", "50m", "7h", "1w"),
      RandomizedDelaySec: fc.constantFrom("0", "5m", "3h"),
      FixedRandomDelay: fc.boolean(),
    },
    { requiredKeys: [] },
  );

  /** A time of the calendar whose own delay has begun is covered by what else starts meanwhile, or not. */
  const isMixed = (timer: {
    OnCalendar?: string;
    OnUnitActiveSec?: string;
    OnUnitInactiveSec?: string;
    FixedRandomDelay?: boolean;
  }) =>
    timer.FixedRandomDelay === false &&
    timer.OnCalendar !== undefined &&
    (timer.OnUnitActiveSec ?? timer.OnUnitInactiveSec) !== undefined;

  test("is due exactly when the agent starts it, whatever it counts from and however long a backup takes", () => {
    const lasts = fc.array(fc.integer({ min: 0, max: 4 * HOUR }), { minLength: 6, maxLength: 6 });
    let compared = 0;
    fc.assert(
      fc.property(
        timers,
        fc.integer({ min: Date.parse("2024-01-01"), max: Date.parse("2030-01-01") }),
        lasts,
        (timerConfig, made, durations) => {
          const task = bindingOf(timerConfig);
          let history: ScheduleState | null = null;
          let last: LastStart | null = null;
          let now = made;
          for (const duration of durations) {
            for (;;) {
              const decision = decideTask({ task, zone: "UTC", now, history, last });
              history = decision.history;
              if (decision.kind === "run") break;
              expect(decision.nextDueAt).toBeGreaterThan(now);
              now = decision.nextDueAt ?? Number.POSITIVE_INFINITY;
            }
            const input = {
              zone: "UTC",
              goodMs: last?.startedMs ?? null,
              endedMs: last?.endedMs ?? null,
              sinceMs: made,
            };
            const expected = nextExpectedAfter(task, input);
            // One that waited for the one before it was due while that ran.
            const hasWaited = last === null || last.endedMs !== now;
            if (hasWaited) expect(expected?.lateAt).toBeGreaterThan(now);
            if (hasWaited && last !== null && last.startedMs > made + DAY && !isMixed(timerConfig)) {
              expect(expected?.dueAt).toBe(now);
              compared++;
            }
            last = { startedMs: now, endedMs: now + duration };
            now += duration;
          }
        },
      ),
      { seed: 20_261_129, numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(200);
  });
});

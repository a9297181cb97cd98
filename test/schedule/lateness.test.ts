import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideTask, type ScheduleState } from "../../agent/daemon/due.ts";
import { Settings } from "../../shared/binding.ts";
import { startDelayMs, nextExpectedAfter } from "../../shared/lateness.ts";
import { parseTimetable } from "../../shared/schedule.ts";
import { expression, ZONES } from "./expressions.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function bindingOf(timerConfig: { OnCalendar: string; RandomizedDelaySec?: string }, grace: string | null = null) {
  const id = "0198c5f0-7b3a-7c00-8000-000000000001";
  return { id, name: "photos", paused: false, settings: Settings.parse({ timerConfig, alerts: { grace } }) };
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
          if (good === null || good - startDelayMs(task) < made + 6 * MINUTE)
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
});

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Calendar, nextAfter, parseCalendar } from "../../shared/schedule.ts";
import { offsetAt } from "../../shared/time-zone.ts";
import { expression, ZONES } from "./expressions.ts";

function read(text: string): Calendar {
  const calendar = parseCalendar(text);
  if (!calendar.ok) throw new Error(`${text}: ${calendar.message}`);
  return calendar.value;
}

/** The next instants as "MM-DD HH:MM" in UTC. */
function nextOnes(text: string, zone: string, after: string, count: number): string[] {
  const found: string[] = [];
  for (let at: number | null = Date.parse(after); found.length < count;) {
    at = nextAfter(read(text), at, zone);
    if (at === null) break;
    found.push(new Date(at).toISOString().slice(5, 16).replace("T", " "));
  }
  return found;
}

describe("daylight saving changes", () => {
  test.each([
    [
      "a skipped time is skipped",
      "02:30",
      "Europe/Berlin",
      "2025-03-29T00:00Z",
      ["03-29 01:30", "03-31 00:30", "04-01 00:30"],
    ],
    [
      "times around a gap are kept",
      "*:0/30",
      "Europe/Berlin",
      "2025-03-30T00:15Z",
      ["03-30 00:30", "03-30 01:00", "03-30 01:30"],
    ],
    [
      "a skipped midnight is skipped",
      "daily",
      "Africa/Cairo",
      "2025-04-23T12:00Z",
      ["04-23 22:00", "04-25 21:00", "04-26 21:00"],
    ],
    [
      "a skipped day is skipped",
      "12:00",
      "Pacific/Apia",
      "2011-12-29T00:00Z",
      ["12-29 22:00", "12-30 22:00", "12-31 22:00"],
    ],
    [
      "a gap of half an hour",
      "*:0/10",
      "Australia/Lord_Howe",
      "2025-10-04T15:10Z",
      ["10-04 15:20", "10-04 15:30", "10-04 15:40"],
    ],
    [
      "two hours are skipped together",
      "0,2..4:34",
      "Antarctica/Troll",
      "2016-03-27T00:00Z",
      ["03-27 00:34", "03-27 02:34"],
    ],
    [
      "an hour's skipped beginning takes the hour with it",
      "03:55",
      "Pacific/Chatham",
      "2022-09-23T07:23Z",
      ["09-23 15:10", "09-25 14:10"],
    ],
    ["the first of two showings", "02:30", "Europe/Berlin", "2025-10-25T12:00Z", ["10-26 00:30", "10-27 01:30"]],
    ["an hour shown twice runs once", "*:0/30", "Europe/Berlin", "2025-10-26T00:10Z", ["10-26 00:30", "10-26 02:00"]],
    ["from within the second showing", "*:0/30", "Europe/Berlin", "2025-10-26T01:10Z", ["10-26 01:30", "10-26 02:00"]],
    ["two midnights", "daily", "America/Havana", "2026-10-31T12:00Z", ["11-01 04:00", "11-02 05:00"]],
    [
      "the expression's own zone wins",
      "02:30 Europe/Berlin",
      "America/Havana",
      "2025-03-29T00:00Z",
      ["03-29 01:30", "03-31 00:30"],
    ],
  ])("%s", (_what, text, zone, after, expected) => {
    expect(nextOnes(text, zone, after, expected.length)).toEqual(expected);
  });
});

describe("the calendar", () => {
  test.each([
    ["strictly after", "12:00", "2025-01-01T12:00Z", ["01-02 12:00"]],
    ["the last Monday of May", "Mon *-05~07/1", "2025-01-01T00:00Z", ["05-26 00:00"]],
    [
      "days counted from the month's end",
      "*-*~10..20/3",
      "2025-02-01T00:00Z",
      ["02-10 00:00", "02-13 00:00", "02-16 00:00", "02-19 00:00"],
    ],
    [
      "a step begins anew in January, whatever systemd does",
      "*-*-1/7",
      "2025-12-29T00:00Z",
      ["01-01 00:00", "01-08 00:00"],
    ],
    ["a step begins anew at midnight", "*:0/25", "2025-12-30T23:51Z", ["12-31 00:00", "12-31 00:25"]],
    ["a time that is over", "2003-03-05 05:40", "2025-01-01T00:00Z", []],
    ["a day that never comes", "*-02-30", "2025-01-01T00:00Z", []],
    ["a moment", "@1893456000", "2025-01-01T00:00Z", ["01-01 00:00"]],
  ])("%s", (_what, text, after, expected) => {
    expect(nextOnes(text, "UTC", after, Math.max(expected.length, 1))).toEqual(expected);
  });

  test("a match between two milliseconds counts at the later", () => {
    expect(nextAfter(read("*:*:5.0001"), 0, "UTC")).toBe(5001);
    expect(nextAfter(read("*:*:5.0001"), 5001, "UTC")).toBe(65_001);
  });

  test("an unknown zone is an error", () => {
    expect(() => nextAfter(read("daily"), 0, "Europe/Nowhere")).toThrow(RangeError);
  });

  test("the rarest times are found, or excluded, in under 5 ms", () => {
    for (const text of [
      "Mon *-02-29 12:00",
      "*-02,04,06,09,11-31",
      "Sun 2199-*-29..31 23:59:59.999",
      "Fri 2024/28-02-30",
    ]) {
      const calendar = read(text);
      const took = Array.from({ length: 5 }, () => {
        const begun = performance.now();
        nextAfter(calendar, Date.UTC(1970, 0), "America/Havana");
        return performance.now() - begun;
      });
      expect(Math.min(...took)).toBeLessThan(5);
    }
  });
});

describe("for any expression, zone and instant", () => {
  const cases = fc.tuple(
    expression,
    fc.constantFrom(...ZONES),
    fc.date({ min: new Date("1990-01-01"), max: new Date("2150-01-01"), noInvalidDate: true }),
  );

  test("the next instants grow, match, and are the same from just before them", () => {
    let found = 0;
    fc.assert(
      fc.property(cases, ([text, zone, start]) => {
        const calendar = parseCalendar(text);
        if (!calendar.ok) return;
        let after = start.getTime();
        for (let round = 0; round < 4; round++) {
          const next = nextAfter(calendar.value, after, zone);
          if (next === null) return;
          expect(next).toBeGreaterThan(after);
          expect(matches(calendar.value, next, zone)).toBe(true);
          expect(nextAfter(calendar.value, next - 1, zone)).toBe(next);
          after = next;
          found++;
        }
      }),
      { numRuns: 1000 },
    );
    expect(found).toBeGreaterThan(1000);
  });
});

/** Whether the clocks show a time of the calendar, by enumerating what its fields hold. Exact to the millisecond. */
function matches(calendar: Calendar, at: number, zone: string): boolean {
  const shown = new Date(at + offsetAt(calendar.zone ?? zone, Math.floor(at / 1000)) * 1000);
  const length = new Date(Date.UTC(shown.getUTCFullYear(), shown.getUTCMonth() + 1, 0)).getUTCDate();
  const day = shown.getUTCDate();
  const millis = shown.getUTCSeconds() * 1000 + shown.getUTCMilliseconds();
  const days = calendar.fromMonthEnd
    ? [...(calendar.days ?? [])].map((span) => fromBeginning(span, length))
    : calendar.days;
  return (
    (calendar.weekdays?.has((shown.getUTCDay() + 6) % 7) ?? true) &&
    holds(calendar.years, shown.getUTCFullYear(), 2199) &&
    holds(calendar.months, shown.getUTCMonth() + 1, 12) &&
    holds(days, day, length) &&
    holds(calendar.hours, shown.getUTCHours(), 23) &&
    holds(calendar.minutes, shown.getUTCMinutes(), 59) &&
    holds(calendar.seconds, millis * 1000, 59_999_999)
  );
}

type Spans = NonNullable<Calendar["days"]>;

function fromBeginning({ start, stop, step }: Spans[number], length: number): Spans[number] {
  const [first, last] = [length - (stop ?? start) + 1, stop === null ? null : length - start + 1];
  return { start: first, stop: last, step };
}

function holds(spans: Spans | null, value: number, to: number): boolean {
  if (spans === null) return true;
  return spans.some(({ start, stop, step }) => {
    for (let each = start; each <= (stop ?? (step === 0 ? start : to)); each += step || to)
      if (each === value) return true;
    return false;
  });
}

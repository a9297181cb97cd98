import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextAfter, parseCalendar, parseExpression } from "../../shared/schedule.ts";
import { askSystemd, systemdAnalyzeIsHere } from "./systemd.ts";

const ACCEPTED: [string, string][] = [
  ["0 3 * * *", "0 3 * * *"],
  ["00  03\t* * *", "0 3 * * *"],
  ["*/15 * * * *", "*/15 * * * *"],
  ["0,15,30,45 * * * *", "*/15 * * * *"],
  ["*/1 0-23 * 1-12 *", "* * * * *"],
  ["5,3,4,3 1-3 * * *", "3-5 1-3 * * *"],
  ["1-10/3,20 * * * *", "1,4,7,10,20 * * * *"],
  ["0 3 * JAN,dec Mon-Fri", "0 3 * 1,12 1-5"],
  ["0 3 * * 7", "0 3 * * 0"],
  ["0 3 * * fri-sun", "0 3 * * 0,5,6"],
  ["0 3 * * 0-7", "0 3 * * 0-6"],
  ["0 3 */2 * 1", "0 3 */2 * 1"],
  ["0 0 30 2 *", "0 0 30 2 *"],
];

const REFUSED: [string, number, string][] = [
  ["60 * * * *", 0, "a minute must be within 0..59"],
  ["0 24 * * *", 2, "an hour must be within 0..23"],
  ["0 0 0 * *", 4, "a day must be within 1..31"],
  ["0 0 * 13 *", 6, "a month must be within 1..12"],
  ["0 0 * * 8", 8, "a weekday must be within 0..7"],
  ["0 0 * * mon,frx", 12, "write a number or sun, mon"],
  ["0 0 L * *", 4, '"L" is not known here'],
  ["0 0 ? * *", 4, '"?" is not known here'],
  ["0 0 * * 5#2", 8, "is not known here"],
  ["5/15 * * * *", 0, "write */15 or 5-59/15"],
  ["*/0 * * * *", 2, "write 1 or more"],
  ["*/60 * * * *", 2, "no second value"],
  ["*/2/3 * * * *", 3, "one step at most"],
  ["10-5 * * * *", 0, "runs backwards"],
  ["1-2-3 * * * *", 3, "two ends only"],
  ["1,,2 * * * *", 2, "a number is expected here"],
  ["0 *-5 * * *", 2, "a number is expected here"],
  ["0 3x * * *", 3, "can't follow a number here"],
];

describe("cron's five fields", () => {
  test.each(ACCEPTED)("%s", (text, normalized) => {
    const plan = parseExpression(text);
    expect(plan).toMatchObject({ ok: true, value: { kind: "cron", normalized } });
    expect(parseExpression(normalized)).toMatchObject({ ok: true, value: { normalized } });
  });

  test.each(REFUSED)("%s is refused", (text, position, message) => {
    expect(parseExpression(text)).toEqual({ ok: false, position, message: expect.stringContaining(message) });
  });

  test.skipIf(!systemdAnalyzeIsHere)("none of it is an expression of systemd's: nothing is ambiguous", async () => {
    const texts = [...ACCEPTED.map(([text]) => text), ...fc.sample(cron, { numRuns: 200, seed: 1 })];
    expect((await askSystemd(texts, 0, "UTC", 1)).filter((opinion) => opinion !== null)).toEqual([]);
    expect(texts.filter((text) => parseCalendar(text).ok)).toEqual([]);
  });

  test.each(["0 3 * *", "0 0 3 * * *", "Mon *-*-* 03:00 UTC", "@daily"])("'%s' is not a cron expression", (text) => {
    const plan = parseExpression(text);
    expect(plan.ok && plan.value.kind === "cron").toBe(false);
  });
});

describe("the next times", () => {
  test.each([
    ["strictly after", "0 3 * * *", "UTC", "2025-01-01T03:00Z", ["01-02 03:00", "01-03 03:00"]],
    ["a day or a weekday", "0 3 1 * 1", "UTC", "2025-10-27T04:00Z", ["11-01 03:00", "11-03 03:00", "11-10 03:00"]],
    ["a day that never comes", "0 0 30 2 *", "UTC", "2025-01-01T00:00Z", []],
    ["a leap day", "0 0 29 2 *", "UTC", "2096-03-01T00:00Z", ["02-29 00:00"]],
    ["a skipped time is skipped", "30 2 * * *", "Europe/Berlin", "2025-03-29T00:00Z", ["03-29 01:30", "03-31 00:30"]],
    ["whatever else is listed", "0,30 2 * * *", "Europe/Berlin", "2025-03-29T12:00Z", ["03-31 00:00", "03-31 00:30"]],
    [
      "a time shown twice comes once",
      "30 2 * * *",
      "Europe/Berlin",
      "2025-10-25T12:00Z",
      ["10-26 00:30", "10-27 01:30"],
    ],
    ["so does an hour", "*/30 * * * *", "Europe/Berlin", "2025-10-26T00:10Z", ["10-26 00:30", "10-26 02:00"]],
  ])("%s", (_what, text, zone, after, expected) => {
    expect(nextOnes(text, zone, after, Math.max(expected.length, 1))).toEqual(expected);
  });

  test("the next minute is the first that matches, for any expression", () => {
    let found = 0;
    const start = fc.integer({ min: Date.UTC(2000, 0) / 60_000, max: Date.UTC(2100, 0) / 60_000 });
    fc.assert(
      fc.property(frequent, start, (text, minute) => {
        const next = nextOnes(text, "UTC", new Date(minute * 60_000).toISOString(), 1)[0];
        let each = minute + 1;
        while (!matches(text, each * 60_000)) each++;
        expect(next).toBe(shown(each * 60_000));
        found++;
      }),
      { numRuns: 300 },
    );
    expect(found).toBe(300);
  });

  test.skipIf(!systemdAnalyzeIsHere)(
    "at the same instants as systemd's own way to write it, changes of the clocks too",
    async () => {
      for (const [text, same] of [
        ["30 2 * * *", "02:30"],
        ["*/20 0-4 * * *", "0..4:0/20"],
        ["15 1,3 * * 0,6", "Sat,Sun 1,3:15"],
        ["0 2 25-31 3,10 *", "3,10-25..31 2:00"],
      ] as const) {
        for (const [zone, base] of CHANGES) {
          const [theirs] = await askSystemd([same], Date.parse(base) / 1000, zone, 8);
          const seconds = theirs?.seconds?.map((second) => shown(second * 1000));
          expect({ text, zone, found: nextOnes(text, zone, base, 8) }).toEqual({ text, zone, found: seconds });
        }
      }
    },
  );
});

const CHANGES = [
  ["Europe/Berlin", "2025-03-29T12:00Z"],
  ["Europe/Berlin", "2025-10-25T12:00Z"],
  ["America/New_York", "2026-03-07T12:00Z"],
  ["Australia/Lord_Howe", "2026-04-04T00:00Z"],
] as const;

function nextOnes(text: string, zone: string, after: string, count: number): string[] {
  const plan = parseExpression(text);
  if (!plan.ok) throw new Error(`${text}: ${plan.message}`);
  const found: string[] = [];
  for (let at: number | null = Date.parse(after); found.length < count;) {
    at = nextAfter(plan.value, at, zone);
    if (at === null) break;
    found.push(shown(at));
  }
  return found;
}

function shown(at: number): string {
  return new Date(at).toISOString().slice(5, 16).replace("T", " ");
}

/** Cron's own manual, word for word: every field matches, and of day and weekday either when neither is `*`. */
function matches(text: string, at: number): boolean {
  const date = new Date(at);
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = text.split(" ");
  const onDay = holds(day, date.getUTCDate());
  const onWeekday = holds(weekday, date.getUTCDay()) || (date.getUTCDay() === 0 && holds(weekday, 7));
  return (
    holds(minute, date.getUTCMinutes()) &&
    holds(hour, date.getUTCHours()) &&
    holds(month, date.getUTCMonth() + 1) &&
    (day === "*" || weekday === "*" ? onDay && onWeekday : onDay || onWeekday)
  );
}

function holds(word: string, value: number): boolean {
  return word.split(",").some((entry) => {
    const [range = "", step = "1"] = entry.split("/");
    if (range === "*") return entry === "*" || value % Number(step) === 0;
    const [from = "", to = from] = range.split("-");
    return value >= Number(from) && value <= Number(to) && (value - Number(from)) % Number(step) === 0;
  });
}

function field(from: number, to: number, steps: string[]): fc.Arbitrary<string> {
  const number = fc.integer({ min: from, max: to });
  const entry = fc.oneof(
    number.map(String),
    fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc
      .tuple(fc.integer({ min: from, max: from + 1 }), fc.integer({ min: to - 1, max: to }))
      .map(([a, b]) => `${a}-${b}/2`),
  );
  return fc.oneof(
    fc.constant("*"),
    fc.constantFrom("*", ...steps),
    fc.array(entry, { minLength: 1, maxLength: 3 }).map((entries) => entries.join(",")),
  );
}

const join = (parts: string[]): string => parts.join(" ");
const minutes = field(0, 59, ["*/5", "*/7"]);
const hours = field(0, 23, ["*/6", "*/5"]);
const weekdays = field(0, 7, ["*/2"]);
const cron = fc.tuple(minutes, hours, field(1, 31, []), field(1, 12, []), weekdays).map(join);
/** Comes within two months: the brute force that it is compared with goes minute by minute. */
const frequent = fc.tuple(minutes, hours, field(1, 28, []), fc.constant("*"), weekdays).map(join);

import { describe, expect, test } from "vitest";
import { parseCalendar } from "../../shared/schedule.ts";
import { askSystemd, systemdAnalyzeIsHere } from "./systemd.ts";

const ACCEPTED: [string, string][] = [
  ["minutely", "*-*-* *:*:00"],
  ["hourly", "*-*-* *:00:00"],
  ["DAILY", "*-*-* 00:00:00"],
  ["weekly Pacific/Auckland", "Mon *-*-* 00:00:00 Pacific/Auckland"],
  ["monthly", "*-*-01 00:00:00"],
  ["quarterly", "*-01,04,07,10-01 00:00:00"],
  ["semiannually", "*-01,07-01 00:00:00"],
  ["biannually", "*-01,07-01 00:00:00"],
  ["yearly", "*-01-01 00:00:00"],
  ["annually", "*-01-01 00:00:00"],
  ["Sat,Thu,Mon..Wed,Sat..Sun", "Mon..Thu,Sat,Sun *-*-* 00:00:00"],
  ["Mon..Sun 12:00", "*-*-* 12:00:00"],
  ["Thu-Fri 1:00", "Thu,Fri *-*-* 01:00:00"],
  ["Wed, 17:48", "Wed *-*-* 17:48:00"],
  ["Mon,", "Mon *-*-* 00:00:00"],
  ["monday   *-12-* 17:00", "Mon *-12-* 17:00:00"],
  ["Mon,Sun 12-*-* 2,1:23", "Mon,Sun 2012-*-* 01,02:23:00"],
  ["70..69-1-1", "1970..2069-01-01 00:00:00"],
  ["10-15", "*-10-15 00:00:00"],
  ["2003-02..04-05 ", "2003-02..04-05 00:00:00"],
  ["05:40", "*-*-* 05:40:00"],
  ["12,14,13,12:20,10,30", "*-*-* 12,13,14:10,20,30:00"],
  ["2..5/2:00", "*-*-* 02..04/2:00:00"],
  ["2..3/2:00", "*-*-* 02:00:00"],
  ["*:0..59/1", "*-*-* *:00..59:00"],
  ["*:0/1", "*-*-* *:00/1:00"],
  ["*:*:0/1,5", "*-*-* *:*:*"],
  ["*-*~1..3", "*-*~01..03 00:00:00"],
  ["Mon *-05~07/1", "Mon *-05~07/1 00:00:00"],
  ["*~*", "*-*-* 00:00:00"],
  ["05:40:23.4200004/3.1700005", "*-*-* 05:40:23.420000/3.170001"],
  ["*:*:0.9999999", "*-*-* *:*:01"],
  ["1:1:1.5..3", "*-*-* 01:01:01.500000..02.500000"],
  ["12:00 utc", "*-*-* 12:00:00 UTC"],
  ["12:00 US/Pacific", "*-*-* 12:00:00 US/Pacific"],
  ["Mon @1893456000", "Mon 2030-01-01 00:00:00 UTC"],
  ["@1893456000 Europe/Berlin", "2030-01-01 00:00:00 UTC"],
];

const REFUSED: [string, number, string][] = [
  ["", 0, "the expression is empty"],
  ["5", 1, "a time is written hour:minute"],
  ["Mons 12:00", 0, "write this weekday as Mon or Monday"],
  ["Sun..Mon", 5, "weeks begin on Monday"],
  ["Mon..Wed..Fri", 8, "write a comma here"],
  ["Mon,Xyz", 4, "a weekday is expected here"],
  ["Mon.Fri", 3, "followed by a comma"],
  ["24:00", 0, "an hour must be within 0..23"],
  ["12:60", 3, "a minute must be within 0..59"],
  ["12:00:60", 6, "a second must be within 0..59.999999"],
  ["*-13-1", 2, "a month must be within 1..12"],
  ["Mon 2025-1-32", 11, "a day must be within 1..31"],
  ["*-*~29", 4, "counted from the month's end must be within 1..28"],
  ["2200-1-1", 0, "a year must be within 1970..2199"],
  ["*:20..10", 2, "the range runs backwards"],
  ["*:0/60", 2, "make it smaller"],
  ["1:2:3/0", 6, "write 1 or more"],
  ["*/2:00", 1, "write 0/2 or 1/2"],
  ["12:00:1..1.5", 6, "shorter than a second"],
  ["12:00:1.", 8, "digits are expected after the point"],
  ["1.5:00", 1, "can't follow a number here"],
  ["1:2:", 4, "a number is expected here"],
  ["1-2-3-4", 5, "the date ends after its day"],
  ["*~1~1", 3, "the date ends after its day"],
  ["5 12:00", 1, "a date needs a month and a day"],
  ["12:00 Europe/Nowhere", 6, '"Europe/Nowhere" is no time zone'],
  ["12:00 europe/berlin", 6, '"europe/berlin" is no time zone'],
  ["12:00 IST", 6, '"IST" is no time zone'],
  ["12:00  UTC", 5, "nothing is expected here"],
  ["daily daily", 0, "a number is expected here"],
  ["@99999999999", 1, "a year must be within 1970..2199"],
  ["99999999999:00", 0, "the number is too large"],
];

function normalForm(text: string): string {
  const calendar = parseCalendar(text);
  return calendar.ok ? calendar.value.normalized : `refused at ${calendar.position}: ${calendar.message}`;
}

describe("the normal form is systemd's", () => {
  test.each(ACCEPTED)("%s", (text, expected) => {
    expect(normalForm(text)).toBe(expected);
  });

  test("a normal form is its own normal form", () => {
    for (const text of ["Mon,Fri..Sun 12-1/3~2,9 0/2:5..9:1.5", "@5", "daily Europe/Berlin"]) {
      expect(normalForm(normalForm(text))).toBe(normalForm(text));
    }
  });
});

describe("an error says where and what to do", () => {
  test.each(REFUSED)("%s", (text, position, message) => {
    expect(parseCalendar(text)).toEqual({ ok: false, position, message: expect.stringContaining(message) });
  });

  test("a list may be long, but is limited", () => {
    expect(parseCalendar(`${Array(241).fill("1").join(",")}:00`).ok).toBe(true);
    expect(parseCalendar(`${Array(242).fill("1").join(",")}:00`).ok).toBe(false);
  });
});

test.skipIf(!systemdAnalyzeIsHere)("systemd takes, prints and refuses the same", async () => {
  const cases = [...ACCEPTED, ...REFUSED.map(([refused]) => [refused, null] as const)];
  const texts = cases.map(([text]) => text);
  const theirs = await askSystemd(texts, 0, "UTC", 1);
  expect(texts.map((text, index) => [text, theirs[index]?.normalized ?? null])).toEqual(cases);
});

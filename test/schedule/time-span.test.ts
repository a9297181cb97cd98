import { describe, expect, test } from "vitest";
import { parseTimeSpan } from "../../shared/schedule.ts";
import { askSystemdSpan, systemdAnalyzeIsHere } from "./systemd.ts";

const ACCEPTED: [string, number][] = [
  ["90", 90_000],
  ["5m", 300_000],
  ["5M", 5 * 2_629_800_000],
  ["1h 30min", 5_400_000],
  ["1h30min", 5_400_000],
  [" 5 ", 5000],
  ["+5", 5000],
  ["5 5", 10_000],
  ["5s5", 10_000],
  ["5.5", 5500],
  [".5", 500],
  ["12.34 .56", 12_900],
  ["12.34s.56", 12_900],
  ["2weeks 3days 4hr", 2 * 604_800_000 + 3 * 86_400_000 + 4 * 3_600_000],
  ["1y2M", 36_817_200_000],
  ["0.123456789y", 3_895_999_965],
  ["1.0005s", 1001],
  ["1us", 1],
  ["5ms .5", 505],
  ["5\tµs", 1],
  ["1μs", 1],
  ["0", 0],
];

const REFUSED: [string, number, string][] = [
  ["", 0, "the span is empty"],
  ["  ", 0, "the span is empty"],
  ["infinity", 0, "must end"],
  ["-5", 0, "can't be negative"],
  ["5h-3", 2, "can't be negative"],
  ["5 fortnights", 2, '"fortnights" is no unit of time'],
  ["5 Min", 2, '"Min" is no unit of time'],
  ["5.", 2, "digits are expected after the point"],
  ["12.34.56", 5, "a unit of time or a space"],
  ["5,3", 1, "a unit of time or a space"],
  ["5min;", 4, "a number is expected here"],
  ["m", 0, "a number is expected here"],
  ["+", 0, "a number is expected here"],
  ["400000y", 0, "too long"],
];

describe("time spans", () => {
  test.each(ACCEPTED)("%s", (text, millis) => {
    expect(parseTimeSpan(text)).toEqual({ ok: true, value: millis });
  });

  test.each(REFUSED)("%s is refused", (text, position, message) => {
    const reason: unknown = expect.stringContaining(message);
    expect(parseTimeSpan(text)).toEqual({ ok: false, position, message: reason });
  });

  test.skipIf(!systemdAnalyzeIsHere)("systemd reads them the same", async () => {
    for (const [text, millis] of ACCEPTED) {
      const micros = await askSystemdSpan(text);
      expect({ text, millis: micros === null ? null : Math.ceil(Number(micros) / 1000) }).toEqual({ text, millis });
    }
    // finite and too long for a number of milliseconds is ours alone to refuse; so is "infinity"
    for (const [text] of REFUSED.filter(([span]) => span !== "infinity" && span !== "400000y")) {
      expect({ text, micros: await askSystemdSpan(text) }).toEqual({ text, micros: null });
    }
  });
});

import { expect, test } from "vitest";
import { openClockOffset } from "../../agent/link/clock-offset.ts";

const HOUR = 3_600_000;

/** A machine whose clock can be set, and that counts the time since it was started all the same. */
function machine(behindMs: number) {
  let passed = 0;
  let set = -behindMs;
  const begun = Date.parse("2026-11-23T08:00:00.000Z");
  const offset = openClockOffset({ clock: { now: () => begun + set + passed }, uptime: () => passed });
  return {
    offset,
    pass: (milliseconds: number) => void (passed += milliseconds),
    set: (byMs: number) => void (set += byMs),
    /** The control plane, whose clock is right, answers at once. */
    answer: () => offset.update(new Date(begun + passed - 500).toUTCString(), begun + set + passed),
  };
}

test("a clock that is changed while offline gets that offset, and none once it is corrected", () => {
  const host = machine(0);
  expect(host.offset.now()).toBe(0);
  host.answer();
  host.pass(48 * HOUR);
  expect(host.offset.now()).toBe(0);
  host.set(24 * HOUR);
  expect(host.offset.now() / HOUR).toBeCloseTo(-24, 2);
  host.set(-24 * HOUR);
  expect(host.offset.now()).toBe(0);
  host.set(-HOUR);
  host.answer();
  host.pass(HOUR);
  expect(host.offset.now() / HOUR).toBeCloseTo(1, 2);
});

test("a clock that was wrong at start is detected by the first answer; an answer without a date is ignored", () => {
  const host = machine(HOUR);
  host.offset.update(null, 0);
  host.offset.update("soon", 0);
  expect(host.offset.now()).toBe(0);
  host.answer();
  expect(host.offset.now() / HOUR).toBeCloseTo(1, 2);
  host.set(HOUR);
  expect(host.offset.now()).toBe(0);
});

test("without a monotonic clock the offset is that of the last answer", () => {
  let now = Date.parse("2026-11-23T08:00:00.000Z");
  const offset = openClockOffset({ clock: { now: () => now } });
  offset.update("Mon, 23 Nov 2026 09:00:00 GMT", now);
  now += 24 * HOUR;
  expect(offset.now() / HOUR).toBeCloseTo(1, 2);
});

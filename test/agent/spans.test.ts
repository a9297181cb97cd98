import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decideTask, type ScheduleState } from "../../agent/daemon/due.ts";
import { bootOf } from "../../agent/system/boot.ts";
import type { LastStart } from "../../shared/timer.ts";
import { assignmentOf, newId } from "./signer.ts";

// Schedules that count from the last run, or from the boot; and delays that differ each time.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const at = (text: string): number => Date.parse(text);

function bindingOf(timerConfig: Record<string, unknown>) {
  const settings = { timerConfig: { RandomizedDelaySec: "0", ...timerConfig }, zone: "UTC" };
  const [binding] = assignmentOf(newId(), 1, settings).bindings;
  if (binding === undefined) throw new Error("the assignment has one binding");
  return binding;
}

describe("spans from an event", () => {
  /** Lives through moments with a machine that was started then. A run takes ten minutes. @returns when it ran */
  function liveFrom(
    timerConfig: Record<string, unknown>,
    moments: readonly [moment: string, boot: string][],
    runs: string[] = [],
  ) {
    const task = bindingOf(timerConfig);
    let history: ScheduleState | null = null;
    let last: LastStart | null =
      runs.map((start) => ({ startedMs: at(start), endedMs: at(start) + 10 * MINUTE }))[0] ?? null;
    return moments.flatMap(([moment, boot]) => {
      const now = at(moment);
      const decision = decideTask({ task, zone: "UTC", now, history, last, boot: { id: boot, at: at(boot) } });
      history = decision.history;
      if (decision.kind === "wait") return [];
      last = { startedMs: now, endedMs: now + 10 * MINUTE };
      return [`${moment.slice(8, 16)} ${decision.trigger}`];
    });
  }
  const BOOT = "2026-11-23T07:00:00Z";
  const during = (...moments: string[]): [string, string][] => moments.map((moment) => [`2026-11-${moment}:00Z`, BOOT]);

  test("OnUnitActiveSec: the first backup at once, then from start to start, and at once after a time away", () => {
    const moments = during(
      "23T08:00",
      "23T08:01",
      "23T13:59",
      "23T14:00",
      "23T14:01",
      "25T09:30",
      "25T15:29",
      "25T15:30",
    );
    expect(liveFrom({ OnUnitActiveSec: "6h" }, moments)).toEqual([
      "23T08:00 schedule",
      "23T14:00 schedule",
      "25T09:30 catch-up",
      "25T15:30 schedule",
    ]);
  });

  test("OnUnitInactiveSec: from the end of a backup, whoever started it, and never while it runs", () => {
    const moments = during("23T08:00", "23T14:09", "23T14:10", "23T14:11");
    expect(liveFrom({ OnUnitInactiveSec: "6h" }, moments)).toEqual(["23T08:00 schedule", "23T14:10 schedule"]);
    expect(liveFrom({ OnUnitInactiveSec: "6h" }, moments, ["2026-11-23T07:59:00Z"])).toEqual(["23T14:09 schedule"]);
    const running = { startedMs: at(BOOT), endedMs: null };
    const task = bindingOf({ OnUnitInactiveSec: "1h" });
    expect(decideTask({ task, zone: "UTC", now: at(BOOT) + DAY, history: null, last: running })).toMatchObject({
      kind: "wait",
      nextDueAt: null,
    });
  });

  test("OnBootSec: once after each boot, at once if it has passed already, and not after a restart of the agent", () => {
    const again = "2026-11-24T06:00:00Z";
    const moments: [string, string][] = [
      ...during("23T08:00", "23T08:30", "23T23:00"),
      ["2026-11-24T06:29:00Z", again],
      ["2026-11-24T06:30:00Z", again],
      ["2026-11-24T06:31:00Z", again],
      ["2026-11-24T08:00:10Z", again],
    ];
    expect(liveFrom({ OnBootSec: ["30m", "2h"] }, moments)).toEqual([
      "23T08:00 catch-up",
      "23T23:00 catch-up",
      "24T06:30 schedule",
      "24T08:00 schedule",
    ]);
  });

  test("OnBootSec with OnUnitActiveSec: after a boot the former, however old the last backup; then the latter", () => {
    const again = "2026-11-26T06:00:00Z";
    const moments: [string, string][] = [
      ...during("23T08:00", "23T13:59", "23T14:00"),
      ["2026-11-26T06:10:00Z", again],
      ["2026-11-26T06:30:00Z", again],
      ["2026-11-26T12:30:00Z", again],
    ];
    expect(liveFrom({ OnBootSec: "30m", OnUnitActiveSec: "6h" }, moments)).toEqual([
      "23T08:00 catch-up",
      "23T14:00 schedule",
      "26T06:30 schedule",
      "26T12:30 schedule",
    ]);
  });

  test("with a calendar, whichever comes first", () => {
    const moments = during(
      "23T08:00",
      "23T09:00",
      "23T14:59",
      "23T15:00",
      "23T21:00",
      "24T03:00",
      "24T09:00",
      "24T09:01",
    );
    expect(liveFrom({ OnCalendar: "09:00", OnUnitActiveSec: "6h" }, moments)).toEqual([
      "23T09:00 schedule",
      "23T15:00 schedule",
      "23T21:00 schedule",
      "24T03:00 schedule",
      "24T09:00 schedule",
    ]);
  });

  test("Persistent is about the calendar only, as in systemd", () => {
    const moments = during("23T08:00", "24T12:00", "24T12:01");
    expect(liveFrom({ OnCalendar: "09:00", Persistent: false }, moments)).toEqual([]);
    expect(liveFrom({ OnUnitActiveSec: "6h", Persistent: false }, moments)).toEqual([
      "23T08:00 schedule",
      "24T12:00 catch-up",
    ]);
  });

  test("a clock that was far ahead at the last backup does not stop them; one a little ahead is waited for", () => {
    const moments = during("23T08:00", "23T08:01", "23T13:59", "23T14:00");
    expect(liveFrom({ OnUnitActiveSec: "6h" }, moments, ["2036-01-01T00:00:00Z"])).toEqual([
      "23T08:00 schedule",
      "23T14:00 schedule",
    ]);
    expect(liveFrom({ OnUnitActiveSec: "5h" }, moments, ["2026-11-23T08:59:00Z"])).toEqual(["23T13:59 schedule"]);
  });

  test("paused, nothing runs; resumed, what is older than the span runs at once", () => {
    const on = bindingOf({ OnBootSec: "1h", OnUnitActiveSec: "6h" });
    const boot = { id: "b", at: at(BOOT) };
    const last = { startedMs: at("2026-11-22T08:00:00Z"), endedMs: at("2026-11-22T08:10:00Z") };
    const asked = { zone: "UTC", now: at("2026-11-23T12:00:00Z"), last, boot };
    const off = decideTask({ ...asked, task: { ...on, paused: true }, history: null });
    expect(off).toMatchObject({ kind: "wait", nextDueAt: null, history: { boot: { id: "b", doneMs: HOUR } } });
    expect(decideTask({ ...asked, task: { ...on, paused: true }, history: off.history }).history).toBe(off.history);
    expect(decideTask({ ...asked, task: on, history: off.history })).toMatchObject({
      kind: "run",
      trigger: "catch-up",
    });
  });
});

test("with FixedRandomDelay off the delay differs from time to time, stays below the span, and is known beforehand", () => {
  const binding = bindingOf({ OnCalendar: "hourly", RandomizedDelaySec: "30m", FixedRandomDelay: false });
  const delays: number[] = [];
  let [now, history] = [at("2026-11-23T08:59:00Z"), null as ScheduleState | null];
  for (let run = 0; run < 8; run++) {
    const waiting = decideTask({ task: binding, zone: "UTC", now, history });
    now = waiting.kind === "wait" ? (waiting.nextDueAt ?? 0) : 0;
    const decision = decideTask({ task: binding, zone: "UTC", now, history: waiting.history });
    expect(decision).toMatchObject({ kind: "run", dueAt: now, trigger: "schedule" });
    history = decision.history;
    delays.push(now - (history.lastDueAt ?? 0));
  }
  expect(new Set(delays).size).toBeGreaterThan(6);
  expect(Math.max(...delays)).toBeLessThan(30 * MINUTE);
});

test("the boot is the start of the first process: the same whenever it is asked for, and moved by a clock that is set", () => {
  const now = Date.now();
  const [boot, later] = [bootOf(now), bootOf(now + DAY)];
  expect(later.id).toBe(boot.id);
  expect(Math.abs(later.at - boot.at - DAY)).toBeLessThan(MINUTE);
  const machineStart = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]) * 1000;
  expect(boot.at).toBeGreaterThan(machineStart - MINUTE);
  expect(boot.at).toBeLessThanOrEqual(now);
});

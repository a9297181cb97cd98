import { describe, expect, it } from "vitest";
import type { Retention } from "../../shared/binding.ts";
import { planRetention } from "../../shared/retention.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");

/** Snapshots named after their times, planned in UTC at noon of 25 November 2026. */
function plan(times: readonly string[], retention: Retention, change: { zone?: string; newestGood?: string } = {}) {
  const snapshots = times.map((id) => ({ id, takenAt: new Date(id).toISOString() }));
  return planRetention({ snapshots, retention, zone: "UTC", now: NOW, newestGood: null, ...change });
}

function kept(...given: Parameters<typeof plan>): Record<string, string> {
  const planned = plan(...given).filter(({ keep }) => keep);
  return Object.fromEntries(planned.map(({ snapshot, reasons }) => [snapshot, reasons.join("; ")]));
}

function daily(count: number): string[] {
  return Array.from({ length: count }, (_, day) => new Date(NOW - (day + 1) * 86_400_000).toISOString());
}

describe("a retention", () => {
  it("lists for every snapshot whether it is removed, oldest first, and by which rule it stays", () => {
    expect(
      plan(["2026-11-23T10:00Z", "2026-11-24T10:00Z", "2026-11-24T11:00Z"], { keep_daily: 1, keep_last: 1 }),
    ).toEqual([
      { snapshot: "2026-11-23T10:00Z", takenAt: "2026-11-23T10:00:00.000Z", keep: false, reasons: [] },
      { snapshot: "2026-11-24T10:00Z", takenAt: "2026-11-24T10:00:00.000Z", keep: false, reasons: [] },
      {
        snapshot: "2026-11-24T11:00Z",
        takenAt: "2026-11-24T11:00:00.000Z",
        keep: true,
        reasons: ["keep_last 1", "keep_daily 1"],
      },
    ]);
  });

  it("keeps everything within an absurdly long span", () => {
    const days = daily(3);
    for (const keep_within of ["300000y", `${"9".repeat(400)}d`, "99999999999m", "999999999999999h"])
      expect(Object.keys(kept(days, { keep_within }))).toHaveLength(3);
  });

  it("counts each rule by itself: 120 daily snapshots with 7 days, 4 weeks, 6 months leave 14, the oldest among them", () => {
    const retention = { keep_daily: 7, keep_weekly: 4, keep_monthly: 6 };
    expect(Object.keys(kept(daily(120), retention))).toHaveLength(14);
  });

  it("never removes the newest, whatever the settings", () => {
    for (const retention of [{ keep_within: "1h" }, { keep_last: 0, keep_yearly: 1 }, { keep_within: "0h" }]) {
      expect(kept(["2020-01-01T00:00Z", "2020-06-01T00:00Z"], retention)).toHaveProperty(["2020-06-01T00:00Z"]);
    }
  });

  it("never removes the newest good one, nor what came after it", () => {
    const times = ["2026-11-20T00:00Z", "2026-11-21T00:00Z", "2026-11-22T00:00Z", "2026-11-23T00:00Z"];
    expect(kept(times, { keep_last: 1 }, { newestGood: "2026-11-21T00:00Z" })).toEqual({
      "2026-11-21T00:00Z": "the newest good one",
      "2026-11-22T00:00Z": "newer than the newest good one",
      "2026-11-23T00:00Z": "keep_last 1",
    });
  });

  it("that is empty keeps everything", () => {
    expect(Object.values(kept(daily(3), { keep_last: 0 }))).toEqual(Array(3).fill("no rule removes anything"));
  });

  it("keeps snapshots of the future, without counting them", () => {
    const times = ["2026-11-20T00:00Z", "2026-11-21T00:00Z", "2031-01-01T00:00Z"];
    expect(kept(times, { keep_last: 1, keep_within: "12h" })).toEqual({
      "2026-11-21T00:00Z": "keep_within 12h; keep_last 1",
      "2031-01-01T00:00Z": "dated in the future",
    });
    expect(Object.keys(kept(["2031-01-01T00:00Z", "2031-01-02T00:00Z"], { keep_last: 1 }))).toHaveLength(2);
  });

  it("counts keep_within from the newest, in calendar months, so that old snapshots stay when backups stop", () => {
    const times = ["2024-02-29T09:00Z", "2024-03-01T11:00Z", "2024-03-31T10:00Z"];
    // A month before 31 March is 31 February: 2 March in a leap year.
    expect(Object.keys(kept(times, { keep_within: "1m" }))).toEqual(["2024-03-31T10:00Z"]);
    expect(Object.keys(kept(times, { keep_within: "1m1d" }))).toEqual(["2024-03-01T11:00Z", "2024-03-31T10:00Z"]);
    expect(Object.keys(kept(times, { keep_within: "1m2d2h" }))).toHaveLength(3);
  });

  it("has the days of the binding's zone", () => {
    const times = ["2026-11-23T22:30Z", "2026-11-23T23:30Z"];
    expect(Object.keys(kept(times, { keep_daily: 2 }))).toHaveLength(2);
    expect(kept([...times, "2026-11-24T01:00Z"], { keep_daily: 1 }, { zone: "Europe/Berlin" })).toEqual({
      "2026-11-24T01:00Z": "keep_daily 1",
    });
    expect(kept(["2026-11-20T00:00Z", ...times], { keep_daily: 2 }, { zone: "Europe/Berlin" })).toMatchObject({
      "2026-11-23T22:30Z": "keep_daily 2",
      "2026-11-23T23:30Z": "keep_daily 1",
    });
  });

  it("keeps the oldest while a rule has room: history is as long as possible", () => {
    expect(kept(["2026-11-24T01:00Z", "2026-11-24T02:00Z", "2026-11-24T03:00Z"], { keep_daily: 7 })).toEqual({
      "2026-11-24T01:00Z": "keep_daily, the oldest",
      "2026-11-24T03:00Z": "keep_daily 1",
    });
  });
});

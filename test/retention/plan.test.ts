import { describe, expect, it } from "vitest";
import { Retention } from "../../shared/binding.ts";
import { planRetention, retentionFault } from "../../shared/retention.ts";
import { PlannedSnapshot } from "../../shared/run.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");

/** Snapshots named after their times, planned in UTC at noon of 25 November 2026. */
function plan(
  times: readonly string[],
  retention: Retention,
  { tags = {}, ...change }: { zone?: string; newestGood?: string; tags?: Record<string, string[]> } = {},
) {
  const snapshots = times.map((id) => ({ id, takenAt: new Date(id).toISOString(), tags: tags[id] }));
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

  it("counts seconds, minutes and quarters of a year, by the zone's clocks", () => {
    const seconds = ["2026-11-24T01:00:00.100Z", "2026-11-24T01:00:00.900Z", "2026-11-24T01:00:01.000Z"];
    expect(Object.keys(kept(["2026-11-20T00:00:00.000Z", ...seconds], { keep_secondly: 2 }))).toEqual(seconds.slice(1));
    const minutes = ["2026-11-24T01:00:10Z", "2026-11-24T01:00:50Z", "2026-11-24T01:01:00Z"];
    expect(Object.keys(kept(["2026-11-20T00:00:00Z", ...minutes], { keep_minutely: 2 }))).toEqual(minutes.slice(1));
    const months = ["01-01", "03-31", "04-01", "06-30", "07-01", "10-01", "11-01"].map((day) => `2026-${day}T12:00Z`);
    expect(kept(months, { keep_quarterly: 3 })).toEqual({
      "2026-06-30T12:00Z": "keep_quarterly 3",
      "2026-07-01T12:00Z": "keep_quarterly 2",
      "2026-11-01T12:00Z": "keep_quarterly 1",
    });
    // In Berlin the first two are of the same quarter.
    const newYear = ["2025-12-31T23:30Z", "2026-03-01T00:00Z", "2026-04-01T00:00Z"];
    expect(Object.keys(kept(newYear, { keep_quarterly: 2 }, { zone: "Europe/Berlin" }))).toEqual(newYear.slice(1));
  });

  it("keeps the last of each period among those that are younger than a span", () => {
    const times = ["2026-11-10T10:00Z", "2026-11-20T10:00Z", "2026-11-23T10:00Z", "2026-11-23T12:00Z"];
    expect(kept([...times, "2026-11-24T12:00Z"], { keep_within_daily: "4d3h", keep_within_weekly: "1m" })).toEqual({
      "2026-11-10T10:00Z": "keep_within_weekly 1m",
      "2026-11-20T10:00Z": "keep_within_daily 4d3h; keep_within_weekly 1m",
      "2026-11-23T12:00Z": "keep_within_daily 4d3h",
      "2026-11-24T12:00Z": "keep_within_daily 4d3h; keep_within_weekly 1m",
    });
  });

  it("keeps all of a rule with -1, and what has all tags of an entry", () => {
    const days = daily(40);
    expect(Object.keys(kept(days, { keep_daily: -1 }))).toHaveLength(40);
    expect(Object.keys(kept(days, { keep_last: -1 }))).toHaveLength(40);
    const times = ["2026-11-20T00:00Z", "2026-11-21T00:00Z", "2026-11-22T00:00Z", "2026-11-23T00:00Z"];
    const tags = { "2026-11-20T00:00Z": ["a", "b"], "2026-11-21T00:00Z": ["a"], "2026-11-22T00:00Z": ["c"] };
    expect(kept(times, { keep_tag: ["a,b", "c"] }, { tags })).toEqual({
      "2026-11-20T00:00Z": "keep_tag a,b",
      "2026-11-22T00:00Z": "keep_tag c",
      "2026-11-23T00:00Z": "the newest",
    });
  });

  it("with a span of nothing, or without a tag, is no rule: alone it keeps everything, as in restic", () => {
    for (const retention of [{ keep_within: "0d" }, { keep_within_yearly: "0y0h" }, { keep_tag: [] }])
      expect(Object.values(kept(daily(3), retention))).toEqual(Array(3).fill("no rule removes anything"));
    expect(Object.keys(kept(daily(3), { keep_within: "0d", keep_last: 1 }))).toHaveLength(1);
  });

  it("gives no more reasons than a report takes", () => {
    const [time = ""] = daily(1);
    const many = Array.from({ length: 19 }, (_, index) => `t${index}`);
    const all = { keep_tag: many, keep_last: 1, keep_daily: 1, keep_weekly: 1, keep_within: "1d" };
    expect(plan([time], all, { tags: { [time]: many } })[0]?.reasons).toHaveLength(20);
    // Nor a longer one, with what planForget may add to it.
    const [tag, span] = ["x".repeat(90), `${"9".repeat(63)}h`];
    const longest = Retention.parse({ keep_tag: [tag], keep_within_monthly: span });
    expect(Retention.safeParse({ keep_tag: [`${tag}x`] }).success).toBe(false);
    expect(Retention.safeParse({ keep_within_monthly: `9${span}` }).success).toBe(false);
    const [planned] = plan([time], longest, { tags: { [time]: [tag] } });
    const reasons = planned?.reasons.map((reason) => `${reason}, the oldest, of those that hold as much`);
    expect(PlannedSnapshot.safeParse({ ...planned, reasons: reasons?.slice(1) }).success).toBe(true);
    expect(`${planned?.reasons[0]}, of those that hold as much`.length).toBeLessThanOrEqual(128);
  });

  it("by tags is none for borg, which has none", () => {
    expect(retentionFault("borg", { keep_tag: ["a"], keep_daily: 7 })).toMatch(/borg 1 has no tags: use/);
    expect(retentionFault("borg", { keep_daily: 7, keep_tag: [] })).toBeNull();
    expect(retentionFault("restic", { keep_tag: ["a"] })).toBeNull();
  });
});

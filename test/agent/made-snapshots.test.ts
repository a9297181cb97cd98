import { beforeEach, describe, expect, it } from "vitest";
import { completeMade, readMade, recordMade, writeMade } from "../../agent/state/made-snapshots.ts";
import type { Paths } from "../../agent/config.ts";
import { scratchRoot } from "./scratch.ts";

const HOUR_MS = 3_600_000;
const START = Date.parse("2026-11-23T08:00:00.000Z");
const subject = { binding: "019abcde-0000-7000-8000-000000000001", engineId: "e".repeat(64) };

describe("the host's record of the snapshots it made", () => {
  let paths: Paths;
  let [now, uptimeMs] = [START, 0];
  const deps = () => ({ paths, clock: { now: () => now }, uptime: () => uptimeMs });
  const make = (snapshot: string) =>
    recordMade(deps(), { ...subject, snapshot, stats: { filesTotal: 3, bytesTotal: 30 } });
  const times = async (): Promise<string[]> => (await readMade(paths, subject)).snapshots.map(({ at }) => at);
  beforeEach(async () => {
    ({ paths } = await scratchRoot());
    [now, uptimeMs] = [START, 0];
  });

  it("goes by the time that has passed, when somebody sets the clock: a week does not pass in a minute", async () => {
    await make("a");
    for (const [index, snapshot] of ["b", "c", "d"].entries()) {
      uptimeMs += 60_000;
      now = START + (index + 1) * 24 * HOUR_MS;
      await make(snapshot);
    }
    now = START - 24 * HOUR_MS;
    uptimeMs += 24 * HOUR_MS;
    await make("e");
    expect(await times()).toEqual([
      "2026-11-23T08:00:00.000Z",
      "2026-11-23T08:01:00.000Z",
      "2026-11-23T08:02:00.000Z",
      "2026-11-23T08:03:00.000Z",
      "2026-11-24T08:03:00.000Z",
    ]);
  });

  it("stays small, with the newest whole and of the older ones the last of each day", async () => {
    const snapshots = Array.from({ length: 1400 }, (_, index) => ({
      id: `s${index}`,
      takenAt: new Date(START - (1400 - index) * HOUR_MS).toISOString(),
      paths: [],
      bytesTotal: null,
    }));
    const made = completeMade(await readMade(paths, subject), snapshots, now);
    expect(made.snapshots).toHaveLength(1400);
    const later = [
      ...snapshots,
      { id: "later", takenAt: new Date(now + HOUR_MS).toISOString(), paths: [], bytesTotal: null },
    ];
    // The repository's word is taken once, and never for the future.
    expect(completeMade(made, later, now)).toBe(made);
    expect(completeMade(await readMade(paths, subject), later, now).snapshots).toHaveLength(1400);
    await writeMade(paths, subject, made);
    await make("newest");
    const kept = (await readMade(paths, subject)).snapshots;
    expect(kept).toHaveLength(1000 + Math.ceil(401 / 24));
    expect(kept.at(-1)?.id).toBe("newest");
    expect(new Set(kept.slice(0, -1000).map(({ at }) => at.slice(0, 10))).size).toBe(kept.length - 1000);
  });
});

import { describe, expect, it } from "vitest";
import type { Retention } from "../../shared/binding.ts";
import { planRetention } from "../../shared/retention.ts";
import type { PlannedSnapshot } from "../../shared/run.ts";
import type { ForgetGate } from "../../agent/state/forget-gate.ts";
import { holdBack } from "../../agent/upkeep/gate.ts";
import { diceOf } from "../support/random.ts";
import { type ForgetPlanInput, planForget } from "../../agent/upkeep/plan.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const MIB = 1 << 20;

interface Wanted {
  /** In days. */
  age: number;
  paths?: string[];
  files?: number;
  bytes?: number;
  /** Whether this host remembers making it. */
  own?: boolean;
}

/** Snapshots called a, b, c and so on, from the oldest to the newest. */
function historyOf(wanted: readonly Wanted[]): Pick<ForgetPlanInput, "snapshots" | "made"> {
  const all = wanted.map(({ age, paths = ["/srv"], files = 100, bytes = 100 * MIB, own = true }, index) => {
    const [id, at] = [String.fromCodePoint(97 + index), new Date(NOW - age * DAY_MS).toISOString()];
    return { own, listed: { id, takenAt: at, paths, bytesTotal: null }, made: { id, at, files, bytes } };
  });
  return { snapshots: all.map(({ listed }) => listed), made: all.filter(({ own }) => own).map(({ made }) => made) };
}

function plan(wanted: readonly Wanted[], retention: Retention, keep = { snapshots: 3, days: 7 }): PlannedSnapshot[] {
  const history = historyOf(wanted);
  const newestGood = history.made.at(-1)?.id ?? null;
  return planForget({
    ...history,
    level: "guarded",
    retention,
    keep,
    newestGood,
    zone: "UTC",
    hostZone: "UTC",
    now: NOW,
  });
}

function kept(...given: Parameters<typeof plan>): Record<string, string> {
  const planned = plan(...given).filter(({ keep }) => keep);
  return Object.fromEntries(planned.map(({ snapshot, reasons }) => [snapshot, reasons.join("; ")]));
}

const daily = (count: number, change: Omit<Wanted, "age"> = {}, from = 0): Wanted[] =>
  Array.from({ length: count }, (_, index) => ({ age: from + count - index, ...change }));
const NO_FLOOR = { snapshots: 1, days: 0 };

describe("the floor", () => {
  it("keeps the newest good ones and the last good one of each of the last days that had one", () => {
    const wanted = [{ age: 30 }, { age: 20 }, { age: 9.1 }, { age: 9 }, { age: 0.2 }, { age: 0.1 }];
    expect(kept(wanted, { keep_last: 1 }, { snapshots: 2, days: 3 })).toEqual({
      b: "floor: last good of 2026-11-05",
      d: "floor: last good of 2026-11-16",
      e: "floor: 2 newest good",
      f: "keep_last 1",
    });
  });

  it("counts neither what this host did not make, nor what has smaller sources or much less in them", () => {
    const burst = (change: Omit<Wanted, "age">): Wanted[] =>
      Array.from({ length: 9 }, (_, index) => ({ age: 0.09 - index / 100, ...change }));
    const real = { c: "floor: 3 newest good", d: "floor: 3 newest good", e: expect.any(String) };
    for (const change of [{ own: false }, { paths: ["/srv/a"] }, { files: 20 }, { bytes: 20 * MIB }])
      expect(kept([...daily(5), ...burst(change)], { keep_last: 1 }, { snapshots: 3, days: 0 })).toMatchObject(real);
  });
});

describe("a retention of snapshots that hold different things", () => {
  const wide: Wanted[] = daily(6, { paths: ["/etc", "/srv"] }, 10);
  const retention = { keep_last: 4 };

  it("keeps of the wider ones what it would keep if there were no narrower ones, also once the sources are wide again", () => {
    const alone = Object.keys(kept(wide, retention, NO_FLOOR));
    const narrow = daily(9, { paths: ["/srv"] });
    const wideAgain: Wanted[] = [{ age: 0, paths: ["/etc", "/srv"] }];
    expect(Object.keys(kept([...wide, ...narrow], retention, NO_FLOOR)).slice(0, 4)).toEqual(alone);
    // Only the new wide one counts.
    expect(Object.keys(kept([...wide, ...narrow, ...wideAgain], retention, NO_FLOOR)).slice(0, 3)).toEqual(
      alone.slice(1),
    );
    expect(kept([...wide, ...narrow], retention, NO_FLOOR)).toMatchObject({
      c: "keep_last 4, of those that hold as much",
    });
  });

  it("counts narrower ones and wider ones together where the sources have grown", () => {
    const grown = [...daily(6, { paths: ["/srv/a"] }, 10), ...daily(6, { paths: ["/srv", "/etc"] })];
    expect(Object.keys(kept(grown, retention, NO_FLOOR))).toEqual(["i", "j", "k", "l"]);
  });

  it("is the retention of all of them where all hold the same", () => {
    const wanted = daily(60);
    const rules = { keep_daily: 7, keep_weekly: 4, keep_monthly: 6 };
    const { snapshots, made } = historyOf(wanted);
    const newestGood = made.at(-1)?.id ?? null;
    expect(plan(wanted, rules, NO_FLOOR)).toEqual(
      planRetention({ snapshots, retention: rules, newestGood, zone: "UTC", now: NOW }),
    );
  });
});

describe("what waits for root", () => {
  const gateOf = (retention: Retention): ForgetGate => ({ retention, most: [], waiting: null });
  const hold = (
    wanted: readonly Wanted[],
    retention: Retention,
    change: { gate?: ForgetGate; level?: "guarded" | "ask" | "open"; granted?: string } = {},
  ) =>
    holdBack({
      ...historyOf(wanted),
      plan: plan(wanted, retention, NO_FLOOR),
      binding: "019abcde-0000-7000-8000-000000000001",
      level: change.level ?? "guarded",
      retention,
      gate: change.gate ?? gateOf({ keep_last: 100 }),
      now: NOW,
      name: "photos",
      granted: new Set([change.granted ?? ""]),
    });
  const removed = (held: ReturnType<typeof hold>): string =>
    held.plan.flatMap((one) => (one.keep ? [] : [one.snapshot])).join("");

  it("is more than half by a changed retention, until root says yes to exactly these", () => {
    const first = hold(daily(10), { keep_last: 2 });
    expect(removed(first)).toBe("");
    expect(first.warnings).toEqual([
      expect.stringMatching(/would remove 8 snapshots and leave 2 of 10.*approve [0-9a-f]{16}\)$/),
    ]);
    expect(first.gate).toMatchObject({ retention: { keep_last: 100 }, waiting: { snapshots: "abcdefgh".split("") } });
    // The same question again, and the answer to it.
    const again = hold(daily(10), { keep_last: 2 }, { gate: first.gate });
    expect(again.gate.waiting).toEqual(first.gate.waiting);
    const granted = first.gate.waiting?.key ?? "";
    const third = hold(daily(10), { keep_last: 2 }, { gate: first.gate, granted });
    expect([removed(third), third.warnings, third.gate.waiting]).toEqual(["abcdefgh", [], null]);
    expect(removed(hold(daily(16), { keep_last: 1 }, { gate: first.gate, granted }))).toBe("abcdefgh");
  });

  it("is not what the unchanged retention does late, nor a few, nor half; slices of a week count together", () => {
    expect(removed(hold(daily(10), { keep_last: 2 }, { gate: gateOf({ keep_last: 2 }) }))).toBe("abcdefgh");
    expect(removed(hold(daily(4), { keep_last: 1 }))).toBe("abc");
    const half = hold(daily(12), { keep_last: 6 });
    expect(removed(half)).toBe("abcdef");
    expect(removed(hold(daily(8), { keep_last: 3 }, { gate: half.gate }))).toBe("");
  });

  it("is whatever holds more than the newest good one", () => {
    for (const change of [{ paths: ["/srv/a"] }, { files: 40 }, { bytes: 40 * MIB }]) {
      const held = hold([...daily(3, {}, 5), ...daily(2, change)], { keep_last: 1 });
      expect([removed(held), held.gate.waiting?.snapshots]).toEqual(["d", ["a", "b"]]);
      expect(held.warnings).toEqual([
        expect.stringContaining("2 snapshots would be removed that hold more than the newest"),
      ]);
    }
  });

  it("only warns with level open", () => {
    const held = hold(daily(10), { keep_last: 2 }, { level: "open" });
    expect([removed(held), held.warnings.length, held.gate.waiting]).toEqual(["abcdefgh", 1, null]);
  });
});

/** The floor as docs/retention.md says it, of snapshots in the order they were made. */
function floorOf(
  made: readonly { id: string; at: string }[],
  { snapshots, days }: { snapshots: number; days: number },
): string[] {
  const lastOfDay = new Map(made.map(({ id, at }) => [at.slice(0, 10), id]));
  return [...made.slice(-snapshots).map(({ id }) => id), ...[...lastOfDay.values()].toReversed().slice(0, days)];
}

it("no sequence of retentions, sources, bursts, forged snapshots and clocks removes a snapshot of the floor", () => {
  let [removed, forgets] = [0, 0];
  for (let seed = 1; seed <= 30; seed++) {
    const dice = diceOf(seed);
    const keep = { snapshots: 1 + dice.below(4), days: dice.below(8) };
    const level = dice.pick(["guarded", "open"] as const);
    let [snapshots, made]: [ForgetPlanInput["snapshots"], ForgetPlanInput["made"]] = [[], []];
    let gate: ForgetGate = { retention: {}, most: [], waiting: null };
    let [now, count] = [NOW - 400 * DAY_MS, 0];
    let retention: Retention = { keep_last: 30 };
    const full = new Set<string>();
    for (let step = 0; step < 80; step++) {
      now += dice.pick([60_000, HOUR_MS, 6 * HOUR_MS, DAY_MS, 9 * DAY_MS]);
      const id = `s${count++}`;
      const isFull = dice.isLucky(0.5);
      const paths = isFull ? ["/etc", "/srv"] : dice.pick([["/srv"], ["/srv/a"], ["/home"]]);
      const bytes = (isFull || dice.isLucky(0.5) ? 100 : 1 + dice.below(60)) * MIB;
      if (dice.isLucky(0.15)) {
        // Another host with the repository's passphrase makes what it likes.
        const takenAt = new Date(now + dice.pick([-30, 0, 30]) * DAY_MS).toISOString();
        snapshots = [...snapshots, { id, takenAt, paths: ["/"], bytesTotal: 1000 * MIB }];
      } else {
        const at = new Date(now).toISOString();
        snapshots = [...snapshots, { id, takenAt: at, paths, bytesTotal: null }];
        made = [...made, { id, at, files: 100, bytes }];
        if (isFull) full.add(id);
      }
      if (dice.isLucky(0.2))
        retention = dice.pick<Retention>([
          { keep_last: 1 },
          { keep_last: 5 },
          { keep_within: "1h" },
          { keep_daily: 3 },
          { keep_yearly: 1 },
        ]);
      const floors = [
        ...floorOf(made, keep),
        ...floorOf(
          made.filter((one) => full.has(one.id)),
          keep,
        ),
      ];
      const newestGood = made.at(-1)?.id ?? null;
      const everything = planForget({
        level,
        snapshots,
        made,
        retention,
        keep,
        newestGood,
        zone: "UTC",
        hostZone: "UTC",
        now,
      });
      const binding = "019abcde-0000-7000-8000-000000000001";
      const held = holdBack({
        binding,
        level,
        plan: everything,
        snapshots,
        made,
        retention,
        gate,
        now,
        name: "photos",
        granted: new Set<string>(),
      });
      gate = held.gate;
      const gone = new Set(held.plan.flatMap((one) => (one.keep ? [] : [one.snapshot])));
      expect([seed, step, floors.filter((one) => gone.has(one))]).toEqual([seed, step, []]);
      snapshots = snapshots.filter((one) => !gone.has(one.id));
      made = made.filter((one) => !gone.has(one.id));
      removed += gone.size;
      forgets++;
    }
  }
  expect(forgets).toBe(30 * 80);
  expect(removed).toBeGreaterThan(600);
});

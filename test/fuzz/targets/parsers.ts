import fc from "fast-check";
import { Retention, Zone } from "../../../shared/binding.ts";
import { forecast, ForecastQuery } from "../../../shared/forecast.ts";
import { AbsolutePath, Id, Instant, Name } from "../../../shared/ids.ts";
import { isLocalLocation, locationFault, sshTarget } from "../../../shared/location.ts";
import { ExcludePattern } from "../../../shared/pattern.ts";
import { borgPattern, excludeMatcher, resticPattern } from "../../../shared/pattern-dialects.ts";
import { planRetention } from "../../../shared/retention.ts";
import { nextAfter, parseExpression, parseTimeSpan } from "../../../shared/schedule.ts";
import { isTimeZone } from "../../../shared/time-zone.ts";
import { Schedules } from "../../../shared/timer-config.ts";
import { redactor } from "../../../agent/redact.ts";
import { randomPaths } from "../../pattern/random-names.ts";
import { randomPattern } from "../../pattern/random-patterns.ts";
import { damagedExpression, expression, ZONES } from "../../schedule/expressions.ts";
import type { Dice } from "../../support/random.ts";
import { oddValue, one, spoilText, type Spare } from "../mutation.ts";
import { mustHold, type Target } from "../target.ts";

/** Texts that good input looks like, by what reads them. */
type Corpus = Readonly<
  Record<"schedule" | "span" | "pattern" | "location" | "zone" | "name" | "within", readonly string[]>
>;

/**
 * What reads the texts of people: schedules, spans, patterns, places. It says what is wrong, and never throws or
 * dawdles.
 */
export const parsers: Target = {
  name: "parsers",
  share: 35,
  casesPerRound: 20_000,
  async begin(seed) {
    const corpus: Corpus = {
      schedule: [expression, damagedExpression].flatMap((from) => fc.sample(from, { seed, numRuns: 300 })),
      ...TEXTS,
    };
    const spare: Spare = new Map(Object.entries(corpus));
    const readers = Object.values(READERS);
    return {
      play(dice) {
        const reader = one(dice, readers);
        reader(dice, (of) => textOf(dice, corpus[of], spare));
      },
      end: () => Promise.resolve(),
    };
  },
};

const TEXTS = {
  span: ["5m", "1h 30min", "2 weeks", "1y 2months", "90", "1.5h", "500ms", "3us", "infinity"],
  pattern: ["*.tmp", "/srv/**/cache", "[a-z]?", "**/x", "\\!a", "[^é-ü]*", "a/**/b/**/c", "*[!x]*", "[]a]", "[a\\]b]"],
  location: [
    "/srv/backup",
    "sftp:me@nas:/srv",
    "sftp://me@[::1]:22//srv",
    "rest:https://nas:8000/x",
    "s3:s3.example.org/b/p",
    "rclone:remote:path",
    "b2:bucket:path",
    "ssh://me@nas:22/srv/borg",
    "ssh://[fe80::1]/x",
  ],
  zone: [...ZONES, "GMT0", "Etc/GMT+5", "SystemV/EST5", "US/Pacific"],
  name: ["photos", "a.b-c_d", "01936f0e-0000-7000-8000-000000000000", "2026-11-23T08:00:00.000Z", "/srv/a/b"],
  within: ["1y2m3d4h", "1d", "99999y", "999999999999999999999h", "0h", "3m"],
};

function textOf(dice: Dice, known: readonly string[], spare: Spare): string {
  if (dice.isLucky(0.15)) return String(one(dice, known));
  if (dice.isLucky(0.8)) return spoilText(dice, one(dice, known));
  const odd = oddValue(dice, spare);
  return typeof odd === "string" ? odd : (JSON.stringify(odd) ?? "");
}

type Reader = (dice: Dice, text: (of: keyof Corpus) => string) => void;

const READERS: Readonly<Record<string, Reader>> = {
  schedule(dice, text) {
    const plan = parseExpression(text("schedule"));
    if (!plan.ok) return mustHold(plan.message !== "" && plan.position >= 0, () => JSON.stringify(plan));
    const at = dice.below(2 ** 31) * dice.pick([1, 1000, 3000]);
    const next = nextAfter(plan.value, at, one(dice, ZONES));
    mustHold(
      next === null || (Number.isFinite(next) && next > at),
      () => `${plan.value.normalized} after ${at}: ${next}`,
    );
    // What it says of itself is the same again.
    const again = parseExpression(plan.value.normalized);
    mustHold(
      again.ok && again.value.normalized === plan.value.normalized,
      () => `${plan.value.normalized}: ${JSON.stringify(again)}`,
    );
  },
  forecast(dice, text) {
    const expressions = dice.isLucky(0.5) ? text("schedule") : [text("schedule"), text("schedule")];
    const asked = ForecastQuery.safeParse({
      expression: expressions,
      zone: text("zone"),
      count: String(dice.below(12)),
    });
    if (asked.success) forecast(asked.data, dice.below(2 ** 31) * 1000, "UTC");
    else Schedules.safeParse(expressions);
  },
  span(_dice, text) {
    const span = parseTimeSpan(text("span"));
    mustHold(span.ok ? span.value >= 0 : span.message !== "", () => JSON.stringify(span));
  },
  zone(dice, text) {
    const zone = text("zone");
    if (!isTimeZone(zone)) return void Zone.safeParse(zone);
    const plan = parseExpression("*-*-* 02:30:00");
    if (plan.ok) nextAfter(plan.value, dice.below(2 ** 31) * 1000, zone);
  },
  pattern(dice, text) {
    const paths = randomPaths(dice, 3, "");
    const pattern = dice.isLucky(0.2) ? randomPattern(dice, paths, "") : text("pattern");
    if (!ExcludePattern.safeParse(pattern).success) return;
    resticPattern(pattern);
    borgPattern(pattern);
    const isLeftOut = excludeMatcher([pattern]);
    for (const path of [...paths, `/${"a/".repeat(200)}`, `/${"ab".repeat(2_000)}`]) isLeftOut(path);
  },
  location(dice, text) {
    const location = text("location");
    for (const provider of ["restic", "borg"] as const) {
      if (locationFault(provider, location) !== null) continue;
      const target = sshTarget(location);
      mustHold(!/[\0\n\r]/.test(location), () => `takes ${JSON.stringify(location)}`);
      mustHold(
        target === null || !target.host.startsWith("-"),
        () => `ssh would read ${JSON.stringify(location)} as an option`,
      );
      isLocalLocation(location);
    }
    if (dice.isLucky(0.2)) redactor([location, text("name")])(`${location} ${text("location")}`);
  },
  retention(dice, text) {
    const retention = Retention.safeParse({
      keep_within: text("within"),
      ...(dice.isLucky(0.5) ? { keep_daily: dice.below(9) } : {}),
    });
    // A span of nothing is no rule, and keeps everything.
    if (!retention.success || /^(0+[ymdh])+$/.test(retention.data.keep_within ?? "")) return;
    const now = Date.parse("2026-11-23T08:00:00.000Z");
    const snapshots = Array.from({ length: dice.below(8) }, (_, index) => {
      return {
        id: `s${index}`,
        takenAt: new Date(now - dice.below(2 ** 31) * dice.pick([1, 100, 1000])).toISOString(),
      };
    });
    const input = { snapshots, zone: one(dice, ZONES), now, newestGood: null };
    const kept = keptBy({ ...input, retention: retention.data });
    // Whoever keeps for longer never keeps less.
    const within = `9${retention.data.keep_within}`.replace(
      /^9(\d+y)?/,
      (_, years: string | undefined) => `9${years ?? "y"}`,
    );
    const longer = keptBy({ ...input, retention: { ...retention.data, keep_within: within } });
    const lost = kept.filter((id) => !longer.includes(id));
    mustHold(
      lost.length === 0,
      () => `${within} keeps less than ${retention.data.keep_within}: ${JSON.stringify({ snapshots, lost })}`,
    );
  },
  ids(_dice, text) {
    const name = text("name");
    for (const schema of [Id, Name, Instant, AbsolutePath]) schema.safeParse(name);
  },
};

function keptBy(input: Parameters<typeof planRetention>[0]): string[] {
  return planRetention(input).flatMap(({ snapshot, keep }) => (keep ? [snapshot] : []));
}

import type { Retention } from "./binding.ts";
import type { ProviderName } from "./repository.ts";
import type { PlannedSnapshot, SnapshotFacts } from "./run.ts";
import { offsetAt } from "./time-zone.ts";

/** A snapshot dated later than this is not trusted: clocks differ by less. */
const FUTURE_MS = 10 * 60_000;
const DAY_MS = 86_400_000;

/** A moment as the zone's clocks show it, in ms, counted as if they showed UTC. */
type Civil = Date;

/** What puts two snapshots into the same hour, day and so on. */
const SAME = {
  secondly: (civil: Civil) => civil.toISOString().slice(0, 19),
  minutely: (civil: Civil) => civil.toISOString().slice(0, 16),
  hourly: (civil: Civil) => civil.toISOString().slice(0, 13),
  daily: (civil: Civil) => civil.toISOString().slice(0, 10),
  weekly: isoWeek,
  monthly: (civil: Civil) => civil.toISOString().slice(0, 7),
  quarterly: (civil: Civil) => `${civil.getUTCFullYear()}-${Math.floor(civil.getUTCMonth() / 3)}`,
  yearly: (civil: Civil) => civil.toISOString().slice(0, 4),
};

/** Which of the given ones count as one, and how many of these a rule keeps. -1: all. */
interface Rule {
  readonly name: keyof Retention;
  /** Null: each is one of its own. */
  readonly same: ((civil: Civil) => string) | null;
}

const COUNTED = [
  { name: "keep_last", same: null },
  { name: "keep_secondly", same: SAME.secondly },
  { name: "keep_minutely", same: SAME.minutely },
  { name: "keep_hourly", same: SAME.hourly },
  { name: "keep_daily", same: SAME.daily },
  { name: "keep_weekly", same: SAME.weekly },
  { name: "keep_monthly", same: SAME.monthly },
  { name: "keep_quarterly", same: SAME.quarterly },
  { name: "keep_yearly", same: SAME.yearly },
] as const satisfies readonly Rule[];

const WITHIN = [
  { name: "keep_within_hourly", same: SAME.hourly },
  { name: "keep_within_daily", same: SAME.daily },
  { name: "keep_within_weekly", same: SAME.weekly },
  { name: "keep_within_monthly", same: SAME.monthly },
  { name: "keep_within_yearly", same: SAME.yearly },
] as const satisfies readonly Rule[];

/** A report has no more reasons for one snapshot. */
const MOST_REASONS = 20;

type Planned = Pick<SnapshotFacts, "id" | "takenAt"> & { readonly tags?: readonly string[] | undefined };

interface RetentionInput {
  /** All of the binding's snapshots. */
  readonly snapshots: readonly Planned[];
  readonly retention: Retention;
  /** The zone of the days, weeks and months. */
  readonly zone: string;
  /** In ms. */
  readonly now: number;
  /** The newest snapshot of a good backup; null when none is known. */
  readonly newestGood: string | null;
}

/** Whether the retention removes anything at all. A rule of nothing (0, 0d, no tags) is none, as in restic. */
export function keepsEverything(retention: Retention): boolean {
  return Object.values(retention).every(
    (value) =>
      value === undefined || value === 0 || (typeof value === "object" ? value.length === 0 : isNoSpan(`${value}`)),
  );
}

/**
 * Why a tool can't carry out a retention; null when it can.
 * borg 1.x has no tags.
 */
export function retentionFault(provider: ProviderName, retention: Retention): string | null {
  if (provider !== "borg" || (retention.keep_tag ?? []).length === 0) return null;
  return "borg 1 has no tags: use the other rules, such as keep_yearly: -1, or a restic repository";
}

/**
 * Applies a retention to a binding's snapshots. The same for every engine, since engines are only given the ids to
 * remove. The rules are restic's: each counts on its own, newest first, and a snapshot stays if one of them keeps it.
 * Never removed are the newest, the newest good one and those newer than it, and snapshots dated in the future, which
 * no rule counts either.
 * @returns all of them, oldest first
 */
export function planRetention(input: RetentionInput): PlannedSnapshot[] {
  const { snapshots, retention, newestGood } = input;
  const newestFirst = snapshots.toSorted((one, other) => Date.parse(other.takenAt) - Date.parse(one.takenAt));
  const isFuture = ({ takenAt }: { takenAt: string }): boolean => Date.parse(takenAt) > input.now + FUTURE_MS;
  const past = newestFirst.filter((snapshot) => !isFuture(snapshot));
  const places = new Map(past.map(({ id }, place) => [id, place]));
  const byRule = keepsEverything(retention) ? new Map<string, string[]>() : reasonsByRule(past, input);
  const good = newestGood === null ? -1 : (places.get(newestGood) ?? -1);
  const planned = newestFirst.map((snapshot) => {
    const reasons = byRule.get(snapshot.id) ?? [];
    const place = places.get(snapshot.id);
    if (place === undefined) reasons.push("dated in the future");
    else if (keepsEverything(retention)) reasons.push("no rule removes anything");
    else if (reasons.length === 0 && place === 0) reasons.push("the newest");
    else if (reasons.length === 0 && place === good) reasons.push("the newest good one");
    else if (reasons.length === 0 && place < good) reasons.push("newer than the newest good one");
    return { snapshot: snapshot.id, takenAt: snapshot.takenAt, keep: reasons.length > 0, reasons };
  });
  return planned.toReversed();
}

function reasonsByRule(newestFirst: readonly Planned[], { retention, zone }: RetentionInput): Map<string, string[]> {
  const reasons = new Map<string, string[]>(newestFirst.map(({ id }) => [id, []]));
  const [newest] = newestFirst;
  if (newest === undefined) return reasons;
  const give = (id: string, reason: string): void => {
    const all = reasons.get(id);
    if (all !== undefined && all.length < MOST_REASONS) all.push(reason);
  };
  const youngerThan = (span: string): ((one: Planned) => boolean) => {
    const since = spanBefore(newest.takenAt, span, zone);
    return ({ takenAt }) => Date.parse(takenAt) > since;
  };
  for (const wanted of retention.keep_tag ?? []) {
    for (const { id } of newestFirst.filter(({ tags = [] }) => wanted.split(",").every((tag) => tags.includes(tag))))
      give(id, `keep_tag ${wanted}`);
  }
  const within = retention.keep_within;
  if (within !== undefined && !isNoSpan(within))
    for (const { id } of newestFirst.filter(youngerThan(within))) give(id, `keep_within ${within}`);
  const keepOfEach = ({ same }: Rule, most: number, isIn: (one: Planned) => boolean, reason: Reason): void => {
    let count = 0;
    let last: string | null = null;
    for (const [index, one] of newestFirst.entries()) {
      if (count >= most) break;
      if (!isIn(one)) continue;
      const period = same === null ? one.id : same(civilOf(Date.parse(one.takenAt), zone));
      // While a rule has not kept its number, it also keeps the oldest snapshot: the history is as long as possible.
      const isOldest = index === newestFirst.length - 1;
      if (period === last && !isOldest) continue;
      count++;
      give(one.id, reason(count, period === last));
      last = period;
    }
  };
  for (const rule of COUNTED) {
    const wanted = retention[rule.name] ?? 0;
    keepOfEach(
      rule,
      wanted === -1 ? Number.POSITIVE_INFINITY : wanted,
      () => true,
      (count, isOldest) => (isOldest ? `${rule.name}, the oldest` : `${rule.name} ${count}`),
    );
  }
  for (const rule of WITHIN) {
    const span = retention[rule.name];
    if (span === undefined || isNoSpan(span)) continue;
    keepOfEach(rule, Number.POSITIVE_INFINITY, youngerThan(span), (_count, isOldest) =>
      isOldest ? `${rule.name} ${span}, the oldest` : `${rule.name} ${span}`,
    );
  }
  return reasons;
}

/** The reason to keep the rule's `count`th. `isOldest`: it is only kept as the oldest of all. */
type Reason = (count: number, isOldest: boolean) => string;

/** Whether a span like 1y2m3d4h is of no length. */
function isNoSpan(span: string): boolean {
  return /^(0+[ymdh])+$/.test(span);
}

function civilOf(at: number, zone: string): Civil {
  return new Date(at + offsetAt(zone, Math.floor(at / 1000)) * 1000);
}

/** Year and week of ISO 8601: a week belongs to the year of its Thursday. */
function isoWeek(civil: Civil): string {
  const thursday = new Date(civil.getTime() + (3 - ((civil.getUTCDay() + 6) % 7)) * DAY_MS);
  const year = thursday.getUTCFullYear();
  return `${year}-${Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS))}`;
}

/** @returns ms. Months and years are calendar ones; a day that a month does not have falls into the next month */
function spanBefore(takenAt: string, span: string, zone: string): number {
  const at = Date.parse(takenAt);
  const civil = civilOf(at, zone);
  const count = (unit: string): number => Number(new RegExp(`(\\d+)${unit}`).exec(span)?.[1] ?? 0);
  const shifted = new Date(civil);
  shifted.setUTCFullYear(
    civil.getUTCFullYear() - count("y"),
    civil.getUTCMonth() - count("m"),
    civil.getUTCDate() - count("d"),
  );
  const since = at - (civil.getTime() - shifted.getTime()) - count("h") * 3_600_000;
  // Further back than any date: everything is younger.
  return Number.isNaN(since) ? Number.NEGATIVE_INFINITY : since;
}

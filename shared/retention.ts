import type { Retention } from "./binding.ts";
import type { PlannedSnapshot, SnapshotFacts } from "./run.ts";
import { offsetAt } from "./time-zone.ts";

/** A snapshot dated later than this is not trusted: clocks differ by less. */
const FUTURE_MS = 10 * 60_000;
const DAY_MS = 86_400_000;

type Counted = Exclude<keyof Retention, "keep_within">;

/** A moment as the zone's clocks show it, in ms, counted as if they showed UTC. */
type Civil = Date;

/** What puts two snapshots into the same hour, day and so on. */
const SAME: Record<Exclude<Counted, "keep_last">, (civil: Civil) => string> = {
  keep_hourly: (civil) => civil.toISOString().slice(0, 13),
  keep_daily: (civil) => civil.toISOString().slice(0, 10),
  keep_weekly: isoWeek,
  keep_monthly: (civil) => civil.toISOString().slice(0, 7),
  keep_yearly: (civil) => civil.toISOString().slice(0, 4),
};
const RULES: readonly Counted[] = [
  "keep_last",
  "keep_hourly",
  "keep_daily",
  "keep_weekly",
  "keep_monthly",
  "keep_yearly",
];

interface RetentionInput {
  /** All of the binding's snapshots. */
  readonly snapshots: readonly Pick<SnapshotFacts, "id" | "takenAt">[];
  readonly retention: Retention;
  /** The zone of the days, weeks and months. */
  readonly zone: string;
  /** In ms. */
  readonly now: number;
  /** The newest snapshot of a good backup; null when none is known. */
  readonly newestGood: string | null;
}

/** Whether the retention removes anything at all. */
export function keepsEverything(retention: Retention): boolean {
  return Object.values(retention).every((value) => value === undefined || value === 0);
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

function reasonsByRule(
  newestFirst: RetentionInput["snapshots"],
  { retention, zone }: RetentionInput,
): Map<string, string[]> {
  const reasons = new Map<string, string[]>(newestFirst.map(({ id }) => [id, []]));
  const [newest] = newestFirst;
  if (newest === undefined) return reasons;
  const within = retention.keep_within;
  if (within !== undefined) {
    const since = spanBefore(newest.takenAt, within, zone);
    for (const { id, takenAt } of newestFirst) {
      if (Date.parse(takenAt) > since) reasons.get(id)?.push(`keep_within ${within}`);
    }
  }
  for (const rule of RULES) {
    const wanted = retention[rule] ?? 0;
    let count = 0;
    let last: string | null = null;
    for (const [index, { id, takenAt }] of newestFirst.entries()) {
      if (count >= wanted) break;
      const period = rule === "keep_last" ? id : SAME[rule](civilOf(Date.parse(takenAt), zone));
      // While a rule has not kept its number, it also keeps the oldest snapshot: the history is as long as possible.
      const isOldest = index === newestFirst.length - 1;
      if (period === last && !isOldest) continue;
      count++;
      reasons.get(id)?.push(period === last ? `${rule}, the oldest` : `${rule} ${count}`);
      last = period;
    }
  }
  return reasons;
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

import type { Settings } from "./binding.ts";
import { nextInTimetable, parseTimeSpan, parseTimetable, randomizedDelayMs } from "./schedule.ts";

/** A backup that is to come. All in milliseconds since 1970. */
export interface ExpectedBackup {
  /** When the host begins it, its delay included. */
  readonly dueAt: number;
  /** When it is late. */
  readonly lateAt: number;
}

interface Scheduled {
  readonly id: string;
  readonly settings: Pick<Settings, "timerConfig" | "zone" | "alerts">;
}

const SHORTEST_GRACE_MS = 10 * 60_000;
const LONGEST_GRACE_MS = 24 * 3_600_000;
/** By then an agent has heard of a change even when nobody could ring it: it asks every five minutes. */
const PROPAGATION_MS = 6 * 60_000;

/**
 * The first backup that has to come after `goodMs`, by the functions that the agent decides by.
 * @param zone the host's own, for a schedule without one
 * @param goodMs when the last good backup began; null: there was none
 * @param sinceMs since when this schedule holds: no time before it was missed
 * @returns null when the schedule never comes again, or can't be read
 */
export function nextExpectedAfter(
  { id, settings }: Scheduled,
  { zone, goodMs, sinceMs }: { zone: string; goodMs: number | null; sinceMs: number },
): ExpectedBackup | null {
  const timetable = parseTimetable(settings.timerConfig.OnCalendar);
  if (!timetable.ok) return null;
  const ownZone = settings.zone ?? zone;
  const delayMs = startDelayMs({ id, settings });
  const after = Math.max(goodMs === null ? Number.NEGATIVE_INFINITY : goodMs - delayMs, sinceMs + PROPAGATION_MS);
  const due = nextInTimetable(timetable.value, after, ownZone);
  if (due === null) return null;
  const following = nextInTimetable(timetable.value, due, ownZone);
  const dueAt = due + delayMs;
  return { dueAt, lateAt: dueAt + graceMs(settings, following === null ? null : following - due) };
}

/** The delay that the agent adds to each time of the schedule, in milliseconds. */
export function startDelayMs({
  id,
  settings,
}: Pick<Scheduled, "id"> & { settings: Pick<Settings, "timerConfig"> }): number {
  const spread = parseTimeSpan(settings.timerConfig.RandomizedDelaySec);
  return spread.ok ? randomizedDelayMs(id, spread.value) : 0;
}

/** @param intervalMs to the time after; null when there is none */
function graceMs({ alerts }: Pick<Settings, "alerts">, intervalMs: number | null): number {
  const asked = alerts.grace === null ? null : parseTimeSpan(alerts.grace);
  if (asked?.ok === true) return asked.value;
  return Math.min(Math.max((intervalMs ?? Number.POSITIVE_INFINITY) / 5, SHORTEST_GRACE_MS), LONGEST_GRACE_MS);
}

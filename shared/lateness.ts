import type { Settings } from "./binding.ts";
import { nextInTimetable, parseTimeSpan, parseTimetable, randomizedDelayMs } from "./schedule.ts";

/** The next backup that is expected. All in milliseconds since 1970. */
export interface ExpectedBackup {
  /** When the host starts it, its delay included. */
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
/** By then an agent has learned of a change even without a socket: it polls every five minutes. */
const PROPAGATION_MS = 6 * 60_000;

/**
 * The first backup expected after `goodMs`, by the same functions the agent uses. Times in milliseconds since 1970.
 * @param input `zone`: the host's own, for a schedule without one. `goodMs`: when the last good backup began; null:
 * there was none. `sinceMs`: since when this schedule applies: no earlier time was missed
 * @returns null when the schedule has no further match, or is invalid
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

/** @param intervalMs until the next time; null when there is none */
function graceMs({ alerts }: Pick<Settings, "alerts">, intervalMs: number | null): number {
  const asked = alerts.grace === null ? null : parseTimeSpan(alerts.grace);
  if (asked?.ok === true) return asked.value;
  return Math.min(Math.max((intervalMs ?? Number.POSITIVE_INFINITY) / 5, SHORTEST_GRACE_MS), LONGEST_GRACE_MS);
}

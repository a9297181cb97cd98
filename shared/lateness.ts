import type { Settings } from "./binding.ts";
import { nextInTimetable, parseTimeSpan } from "./schedule.ts";
import { delayOf, nextCalendarTime, nextRepeat, parseTimer, repeatInterval, shortest, type Timer } from "./timer.ts";

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

interface ExpectedInput {
  /** The host's own, for a schedule without one. */
  readonly zone: string;
  /** When the last good backup began; null: there was none. */
  readonly goodMs: number | null;
  /** When the last backup ended, good or not; null: not known, or not needed. */
  readonly endedMs?: number | null;
  /** Since when this schedule applies: no earlier time was missed. */
  readonly sinceMs: number;
}

/**
 * The first backup expected after the last good one, by the same functions the agent uses. Times in milliseconds since
 * 1970.
 * @returns null when the schedule has no further time, is invalid, or knows only OnBootSec: when a host is started next
 * is known to nobody
 */
export function nextExpectedAfter({ id, settings }: Scheduled, input: ExpectedInput): ExpectedBackup | null {
  const parsed = parseTimer(settings.timerConfig);
  if (!parsed.ok) return null;
  const timer = parsed.value;
  const zone = settings.zone ?? input.zone;
  const calendar = onCalendar(timer, id, { ...input, zone });
  const repeat = onRepeat(timer, id, input);
  const due = [calendar?.dueAt, repeat?.dueAt].filter((at) => at !== undefined);
  const dueAt = shortest(due);
  if (dueAt === null) return null;
  const after = [calendar?.dueAt, calendar?.nextDueAt, repeat === null ? null : dueAt + repeat.intervalMs];
  const following = shortest(after.filter((at) => at !== undefined && at !== null).filter((at) => at > dueAt));
  const mayDelayMs = repeat !== null && repeat.dueAt === dueAt ? repeat.mayDelayMs : 0;
  return { dueAt, lateAt: dueAt + graceMs(settings, following === null ? null : following - dueAt) + mayDelayMs };
}

/** @returns the next time of the calendar that no good backup has covered, and the one after it */
function onCalendar(
  timer: Timer,
  id: string,
  { zone, goodMs, sinceMs }: ExpectedInput,
): { dueAt: number; nextDueAt: number | null } | null {
  const next = (afterMs: number): number | null => nextInTimetable(timer.timetable, afterMs, zone);
  const since = sinceMs + PROPAGATION_MS;
  const uncovered = goodMs === null ? since : nextCalendarTime(timer, id, { afterMs: goodMs, zone });
  const isKnown = uncovered === null || uncovered > since;
  const time = isKnown ? uncovered : next(since);
  if (time === null) return null;
  // The host may have begun with the time before.
  const delay = isKnown ? delayOf(timer, id, time) : longestDelay(timer, id);
  const following = next(time);
  return { dueAt: time + delay, nextDueAt: following === null ? null : following + delay };
}

/** After a boot, OnBootSec starts the next backup, whenever the one before it was: that may delay it. */
function onRepeat(
  timer: Timer,
  id: string,
  { goodMs, endedMs = null, sinceMs }: ExpectedInput,
): { dueAt: number; intervalMs: number; mayDelayMs: number } | null {
  const intervalMs = repeatInterval(timer);
  if (intervalMs === null) return null;
  const since = sinceMs + PROPAGATION_MS;
  const last = goodMs === null ? null : { startedMs: goodMs, endedMs: Math.max(goodMs, endedMs ?? goodMs) };
  const isFirst = last === null && timer.timetable.expressions.length === 0;
  const time = isFirst ? since : nextRepeat(timer, { last, sinceMs: since });
  if (time === null) return null;
  // What was due before the schedule applied starts as soon as the host knows it.
  const dueAt = time > since ? time + delayOf(timer, id, time) : since + longestDelay(timer, id);
  return { dueAt, intervalMs, mayDelayMs: shortest(timer.afterBoot) ?? 0 };
}

function longestDelay(timer: Timer, id: string): number {
  return timer.isFixed ? delayOf(timer, id, 0) : timer.spread;
}

/** @param intervalMs until the next time; null when there is none */
function graceMs({ alerts }: Pick<Settings, "alerts">, intervalMs: number | null): number {
  const asked = alerts.grace === null ? null : parseTimeSpan(alerts.grace);
  if (asked?.ok === true) return asked.value;
  return Math.min(Math.max((intervalMs ?? Number.POSITIVE_INFINITY) / 5, SHORTEST_GRACE_MS), LONGEST_GRACE_MS);
}

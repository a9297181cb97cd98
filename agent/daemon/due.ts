import { nextInTimetable, parseTimeSpan, parseTimetable, randomizedDelayMs } from "../../shared/schedule.ts";
import type { Timetable } from "../../shared/schedule.ts";
import type { Scheduled } from "./tasks.ts";

/** What a task's schedule has behind it. All in milliseconds; times of the calendar, without the task's own delay. */
export interface ScheduleState {
  /** The last time of the calendar that was run or skipped: it never comes again. */
  lastDueAt: number | null;
  /** When this calendar was first seen: no time before it was missed. */
  since: number;
  /** The calendar and zone that `since` is about. */
  calendar: string;
}

export type Decision =
  | { kind: "wait"; nextDueAt: number | null; history: ScheduleState }
  | { kind: "run"; dueAt: number; trigger: "schedule" | "catch-up"; history: ScheduleState };

/** A run that begins later than this was missed: it is caught up or skipped. */
const ON_TIME_WITHIN_MS = 90_000;
const FIRST_WINDOW_MS = 3_600_000;

/**
 * What to do about one task at one moment. Pure: the same question has the same answer.
 * @param zone the host's own, for a task without one
 * @returns to wait, or to run now; either way the history that holds from then on (the same object: nothing to write)
 */
export function decideTask(input: {
  task: Scheduled;
  zone: string;
  now: number;
  history: ScheduleState | null;
}): Decision {
  const { task, now } = input;
  const schedule = scheduleOf(task, input.zone);
  const history = currentState(schedule, input.history, now);
  const wait = (nextDueAt: number | null, kept = history): Decision => ({ kind: "wait", nextDueAt, history: kept });

  const first = nextOccurrence(schedule, Math.max(history.lastDueAt ?? history.since, history.since));
  const isOff = task.paused || !task.settings.enable;
  if (first === null) return wait(null);
  if (first + schedule.delayMs > now) return wait(isOff ? null : first + schedule.delayMs);

  const last = lastOccurrenceUntil(schedule, first, now - schedule.delayMs);
  const advanced: ScheduleState = { ...history, lastDueAt: last };
  const dueAt = last + schedule.delayMs;
  const isOnTime = now - dueAt <= ON_TIME_WITHIN_MS;
  if (isOff) return wait(null, advanced);
  if (isOnTime || schedule.isPersistent) {
    return { kind: "run", dueAt, trigger: isOnTime ? "schedule" : "catch-up", history: advanced };
  }
  const after = nextOccurrence(schedule, last);
  return wait(after === null ? null : after + schedule.delayMs, advanced);
}

interface Schedule {
  timetable: Timetable;
  zone: string;
  delayMs: number;
  isPersistent: boolean;
}

function scheduleOf(task: Scheduled, hostZone: string): Schedule {
  const { timerConfig, zone } = task.settings;
  const timetable = parseTimetable(timerConfig.OnCalendar);
  const span = parseTimeSpan(timerConfig.RandomizedDelaySec);
  if (!timetable.ok) throw new Error(`${task.name}: ${timetable.message}`);
  return {
    timetable: timetable.value,
    zone: zone ?? hostZone,
    delayMs: span.ok ? randomizedDelayMs(task.id, span.value) : 0,
    isPersistent: timerConfig.Persistent,
  };
}

/**
 * A calendar seen for the first time has missed nothing. A time behind us that lies ahead was written by a clock that was wrong: it
 * counts for nothing, and the calendar begins afresh. Only the very next one may be behind us: a clock set back a little brings
 * no time a second time.
 */
function currentState(schedule: Schedule, history: ScheduleState | null, now: number): ScheduleState {
  const calendar = `${schedule.timetable.normalized} in ${schedule.zone}`;
  if (history === null) return { lastDueAt: null, since: now, calendar };
  const { lastDueAt } = history;
  const isFromTheFuture =
    lastDueAt !== null && lastDueAt > (nextOccurrence(schedule, now - schedule.delayMs) ?? lastDueAt);
  if (isFromTheFuture) return { lastDueAt: null, since: now, calendar };
  if (history.calendar !== calendar || history.since > now) return { lastDueAt, since: now, calendar };
  return history;
}

/** The latest time of the calendar not after `until`, looked for backwards: a host may have been away for a year. */
function lastOccurrenceUntil(schedule: Schedule, first: number, until: number): number {
  for (let window = FIRST_WINDOW_MS; until - window > first; window *= 4) {
    const inWindow = nextOccurrence(schedule, until - window);
    if (inWindow !== null && inWindow <= until) return walkOccurrences(schedule, inWindow, until);
  }
  return walkOccurrences(schedule, first, until);
}

function walkOccurrences(schedule: Schedule, from: number, until: number): number {
  let last = from;
  for (let time = nextOccurrence(schedule, last); time !== null && time <= until; time = nextOccurrence(schedule, last))
    last = time;
  return last;
}

function nextOccurrence(schedule: Schedule, after: number): number | null {
  return nextInTimetable(schedule.timetable, after, schedule.zone);
}

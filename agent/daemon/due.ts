import { nextInTimetable, parseTimeSpan, parseTimetable, randomizedDelayMs } from "../../shared/schedule.ts";
import type { Timetable } from "../../shared/schedule.ts";
import type { Scheduled } from "./tasks.ts";

/** Stored state of a task's schedule, in ms: calendar times, without the task's random delay. */
export interface ScheduleState {
  /** The last calendar time that was run or skipped: it never comes again. */
  lastDueAt: number | null;
  /** Since when this calendar is followed: no earlier time counts as missed. */
  since: number;
  /** The calendar and zone that `since` belongs to. */
  calendar: string;
}

export type Decision =
  | { kind: "wait"; nextDueAt: number | null; history: ScheduleState }
  | { kind: "run"; dueAt: number; trigger: "schedule" | "catch-up"; history: ScheduleState };

/** A run that starts later than this was missed: it is caught up or skipped. */
const ON_TIME_WITHIN_MS = 90_000;
const FIRST_WINDOW_MS = 3_600_000;

/**
 * Decides about one task at one moment. A pure function.
 * @param input `zone`: the host's own, for a task without one. Times in ms
 * @returns wait, or run now, with the state to store; the same object when it has not changed
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
 * When a calendar is new, nothing was missed. A last run in the future was written while the clock was wrong: it is
 * ignored, and the state starts afresh. Only the very next time may be skipped: a clock set back a little must not run
 * it twice.
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

/** The latest calendar time not after `until`. Searched backwards, since a host may have been off for a year. */
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

import { nextInTimetable } from "../../shared/schedule.ts";
import {
  delayOf,
  type LastStart,
  nextRepeat,
  parseTimer,
  repeatInterval,
  shortest,
  type Timer,
} from "../../shared/timer.ts";
import type { Boot } from "../system/boot.ts";
import type { Scheduled } from "./tasks.ts";

/** Stored state of a task's schedule, in ms: calendar times, without the task's random delay. */
export interface ScheduleState {
  /** The last calendar time that was run or skipped: it never comes again. */
  lastDueAt: number | null;
  /** Since when this calendar is followed: no earlier time counts as missed. */
  since: number;
  /** The calendar and zone that `since` belongs to. */
  calendar: string;
  /** Until which time after which boot OnBootSec is done; absent without OnBootSec. */
  boot?: { id: string; doneMs: number };
}

export type Decision =
  | { kind: "wait"; nextDueAt: number | null; history: ScheduleState }
  | { kind: "run"; dueAt: number; trigger: "schedule" | "catch-up"; history: ScheduleState };

/** A run that starts later than this was missed: it is caught up or skipped. */
const ON_TIME_WITHIN_MS = 90_000;
const FIRST_WINDOW_MS = 3_600_000;

interface DecisionInput {
  readonly task: Scheduled;
  /** The host's own, for a task without one. */
  readonly zone: string;
  readonly now: number;
  readonly history: ScheduleState | null;
  /** When the task last ran, whoever started it; only needed for OnUnitActiveSec and OnUnitInactiveSec. */
  readonly last?: LastStart | null;
  /** Only needed for OnBootSec. */
  readonly boot?: Boot | null;
}

/**
 * Decides about one task at one moment. A pure function. Times in ms
 * @returns wait, or run now, with the state to store; the same object when it has not changed
 */
export function decideTask(input: DecisionInput): Decision {
  const { task, now } = input;
  const schedule = scheduleOf(task, input.zone);
  const history = currentState(schedule, input.history, now);
  const due = dueTimes(schedule, { ...input, history });
  const first = shortest(due.map(({ dueAt }) => dueAt));
  const isOff = task.paused || !task.settings.enable;
  if (first === null) return { kind: "wait", nextDueAt: null, history };
  if (first > now) return { kind: "wait", nextDueAt: isOff ? null : first, history };

  const passed = due.filter(({ dueAt }) => dueAt <= now).map((one) => ({ ...one, ...one.passAt(now) }));
  const change = Object.assign({}, ...passed.map((one) => one.change)) as Partial<ScheduleState>;
  const advanced = Object.keys(change).length === 0 ? history : { ...history, ...change };
  if (isOff) return { kind: "wait", nextDueAt: null, history: advanced };
  const dueAt = Math.max(...passed.map((one) => one.lastDueAt));
  const isOnTime = now - dueAt <= ON_TIME_WITHIN_MS;
  if (isOnTime || passed.some(({ isCaughtUp }) => isCaughtUp))
    return { kind: "run", dueAt, trigger: isOnTime ? "schedule" : "catch-up", history: advanced };
  return {
    kind: "wait",
    nextDueAt: shortest(dueTimes(schedule, { ...input, history: advanced }).map((one) => one.dueAt)),
    history: advanced,
  };
}

interface Schedule {
  readonly id: string;
  readonly timer: Timer;
  readonly zone: string;
  /** How far the calendar as a whole is moved. */
  readonly shiftMs: number;
  readonly isPersistent: boolean;
}

/** The next time of the calendar, of OnBootSec, or after the last run, with its delay. */
interface DueTime {
  readonly dueAt: number;
  /** Whether it runs however late it is. */
  readonly isCaughtUp: boolean;
  /** What it means that it has come. `lastDueAt`: the newest of those that have. */
  passAt(now: number): { lastDueAt: number; change: Partial<ScheduleState> };
}

function scheduleOf(task: Scheduled, hostZone: string): Schedule {
  const { timerConfig, zone } = task.settings;
  const timer = parseTimer(timerConfig);
  if (!timer.ok) throw new Error(`${task.name}: ${timer.message}`);
  return {
    id: task.id,
    timer: timer.value,
    zone: zone ?? hostZone,
    shiftMs: timer.value.isFixed ? delayOf(timer.value, task.id, 0) : 0,
    isPersistent: timerConfig.Persistent,
  };
}

type KnownInput = DecisionInput & { readonly history: ScheduleState };

function dueTimes(schedule: Schedule, input: KnownInput): DueTime[] {
  const boot = input.boot ?? null;
  const afterBoot = boot === null ? [] : bootTimes(schedule, { ...input, boot });
  const times = [calendarTime(schedule, input), ...afterBoot, repeatTime(schedule, input, afterBoot.length > 0)];
  return times.filter((one) => one !== null);
}

function calendarTime(schedule: Schedule, { history }: KnownInput): DueTime | null {
  const { id, timer, shiftMs } = schedule;
  const first = nextOccurrence(schedule, Math.max(history.lastDueAt ?? history.since, history.since));
  if (first === null) return null;
  const delay = delayOf(timer, id, first);
  return {
    dueAt: first + delay,
    isCaughtUp: schedule.isPersistent,
    passAt(now) {
      const last = lastOccurrenceUntil(schedule, first, now - shiftMs);
      return { lastDueAt: timer.isFixed ? last + delay : first + delay, change: { lastDueAt: last } };
    },
  };
}

/** One that has passed when the schedule is new is due at once, as in systemd. A restart of the agent is no boot. */
function bootTimes({ id, timer }: Schedule, { history, boot }: KnownInput & { boot: Boot }): DueTime[] {
  const doneMs = history.boot?.id === boot.id ? history.boot.doneMs : -1;
  return timer.afterBoot
    .filter((span) => span > doneMs)
    .toSorted((one, other) => one - other)
    .map((span) => {
      const dueAt = boot.at + span + delayOf(timer, id, `${boot.id} ${span}`);
      return {
        dueAt,
        isCaughtUp: true,
        passAt: () => ({ lastDueAt: dueAt, change: { boot: { id: boot.id, doneMs: span } } }),
      };
    });
}

/** @param afterBoot whether OnBootSec is still to come: as in systemd, no run before the boot counts until then */
function repeatTime({ id, timer }: Schedule, input: KnownInput, afterBoot: boolean): DueTime | null {
  const { now, history, boot = null, last = null } = input;
  if (afterBoot && (last === null || (boot !== null && last.startedMs < boot.at))) return null;
  const time = nextRepeat(timer, { last, sinceMs: history.since });
  if (time === null) return null;
  // The last run was written down with a clock that was ahead by more than the interval: as in decision 33.
  const isFromTheFuture = time - now > 2 * (repeatInterval(timer) ?? 0);
  const dueAt = isFromTheFuture ? now : time + delayOf(timer, id, time);
  return { dueAt, isCaughtUp: true, passAt: () => ({ lastDueAt: dueAt, change: {} }) };
}

/**
 * When a calendar is new, nothing was missed. A last run in the future was written while the clock was wrong: it is
 * ignored, and the state starts afresh. Only the very next time may be skipped: a clock set back a little must not run
 * it twice.
 */
function currentState(schedule: Schedule, history: ScheduleState | null, now: number): ScheduleState {
  const calendar = `${schedule.timer.timetable.normalized} in ${schedule.zone}`;
  if (history === null) return { lastDueAt: null, since: now, calendar };
  const { lastDueAt, boot } = history;
  const kept = boot === undefined ? {} : { boot };
  const isFromTheFuture =
    lastDueAt !== null && lastDueAt > (nextOccurrence(schedule, now - schedule.shiftMs) ?? lastDueAt);
  if (isFromTheFuture) return { lastDueAt: null, since: now, calendar, ...kept };
  if (history.calendar !== calendar || history.since > now) return { lastDueAt, since: now, calendar, ...kept };
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
  return nextInTimetable(schedule.timer.timetable, after, schedule.zone);
}

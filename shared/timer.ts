import { nextInTimetable, parseTimeSpan, parseTimetable, randomizedDelayMs, type Timetable } from "./schedule.ts";
import type { TimerConfig } from "./timer-config.ts";

/** A parsed timerConfig. All in ms. */
export interface Timer {
  readonly timetable: Timetable;
  readonly afterBoot: readonly number[];
  /** The shortest OnUnitActiveSec: a start makes all of them count anew. */
  readonly afterStart: number | null;
  /** The shortest OnUnitInactiveSec. */
  readonly afterEnd: number | null;
  /** The longest delay. */
  readonly spread: number;
  /** Whether the delay is always the same. */
  readonly isFixed: boolean;
}

/** The last backup as far as it is known, in ms since 1970. `endedMs`: null also while it runs. */
export interface LastStart {
  readonly startedMs: number;
  readonly endedMs: number | null;
}

/** @returns a sentence when the calendar is invalid */
export function parseTimer(config: TimerConfig): { ok: true; value: Timer } | { ok: false; message: string } {
  const timetable = parseTimetable(config.OnCalendar);
  if (!timetable.ok) return { ok: false, message: timetable.message };
  const [spread = 0] = spansOf(config.RandomizedDelaySec);
  return {
    ok: true,
    value: {
      timetable: timetable.value,
      afterBoot: spansOf(config.OnBootSec),
      afterStart: shortest(spansOf(config.OnUnitActiveSec)),
      afterEnd: shortest(spansOf(config.OnUnitInactiveSec)),
      spread,
      isFixed: config.FixedRandomDelay !== false,
    },
  };
}

/**
 * The delay of one time, from 0 to the timer's spread: the same wherever it is computed.
 * @param id the binding's, or the task's. `time`: the time itself, for a timer whose delay differs each time
 */
export function delayOf({ spread, isFixed }: Timer, id: string, time: number | string): number {
  return randomizedDelayMs(isFixed ? id : `${id} ${time}`, spread);
}

/**
 * The first time of the calendar that a backup started at `afterMs` has not covered, without its delay. A fixed delay
 * moves the calendar as a whole; else a start covers every time before it, as with systemd's timers.
 */
export function nextCalendarTime(
  timer: Timer,
  id: string,
  { afterMs, zone }: { afterMs: number; zone: string },
): number | null {
  return nextInTimetable(timer.timetable, timer.isFixed ? afterMs - delayOf(timer, id, 0) : afterMs, zone);
}

/**
 * When OnUnitActiveSec or OnUnitInactiveSec comes next, without its delay; null: neither does, or the backup still
 * runs.
 * @param input `last`: null when there was no backup yet. Then the first is due at once (`sinceMs`, when the schedule
 * began), unless the calendar or OnBootSec starts it
 */
export function nextRepeat(
  timer: Timer,
  { last, sinceMs }: { last: LastStart | null; sinceMs: number },
): number | null {
  const { timetable, afterBoot, afterStart, afterEnd } = timer;
  if (afterStart === null && afterEnd === null) return null;
  if (last === null) return timetable.expressions.length === 0 && afterBoot.length === 0 ? sinceMs : null;
  return shortest([
    ...(afterStart === null ? [] : [last.startedMs + afterStart]),
    ...(afterEnd === null || last.endedMs === null ? [] : [last.endedMs + afterEnd]),
  ]);
}

/**
 * When the next backup starts, in ms, its delay included, as far as it is known from outside the host: not what
 * OnBootSec starts. Never before `nowMs`: what is due by then starts as soon as it can.
 * @param input `goodMs`: when the last good backup began. `last`: the last one, whatever became of it
 */
export function nextStart(
  timer: Timer,
  id: string,
  input: { zone: string; nowMs: number; goodMs: number | null; last: LastStart | null; sinceMs: number },
): number | null {
  const { zone, nowMs, goodMs } = input;
  // A time that has come may still wait for its delay.
  const afterMs = timer.isFixed ? nowMs : Math.max(nowMs - timer.spread, goodMs ?? Number.NEGATIVE_INFINITY);
  const waiting = nextCalendarTime(timer, id, { afterMs, zone });
  const isPast = waiting !== null && waiting + delayOf(timer, id, waiting) <= nowMs;
  const calendar = isPast ? nextCalendarTime(timer, id, { afterMs: nowMs, zone }) : waiting;
  const repeat = nextRepeat(timer, input);
  const times = [calendar, repeat].filter((time) => time !== null);
  return shortest(times.map((time) => Math.max(nowMs, time + delayOf(timer, id, time))));
}

/** The time between two backups that no calendar starts; null when only a calendar does. */
export function repeatInterval({ afterStart, afterEnd }: Timer): number | null {
  return shortest([afterStart, afterEnd].filter((one) => one !== null));
}

export function shortest(spans: readonly number[]): number | null {
  return spans.length === 0 ? null : Math.min(...spans);
}

/** Invalid ones are left out: the schema has refused them. */
function spansOf(given: string | readonly string[] | undefined): number[] {
  return (given === undefined ? [] : [given].flat()).flatMap((text) => {
    const span = parseTimeSpan(text);
    return span.ok ? [span.value] : [];
  });
}

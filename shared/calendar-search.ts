import { type Calendar, HOURS, MINUTES, SECONDS, YEARS } from "./calendar-expression.ts";
import { type Span, firstFrom } from "./calendar-spans.ts";

const SECOND = 1_000_000;
const DAY_MS = 86_400_000;

/** A time on a wall clock: days since 1970-01-01 and microseconds since midnight, whatever the zone. */
export interface Civil {
  readonly day: number;
  readonly micros: number;
}

/**
 * The first matching wall-clock time not before `from`; null when there is none up to the end of 2199.
 * `cameFrom` is the last day the search stood on before the day it found.
 */
export function nextCivil(calendar: Calendar, from: Civil): { found: Civil; cameFrom: number } | null {
  if (matchesDay(calendar, from.day)) {
    const micros = nextTime(calendar, from.micros);
    if (micros !== null) return { found: { day: from.day, micros }, cameFrom: from.day };
  }
  const next = nextDay(calendar, from.day);
  const micros = nextTime(calendar, 0);
  return next === null || micros === null ? null : { found: { day: next.day, micros }, cameFrom: next.cameFrom };
}

function nextTime({ hours, minutes, seconds }: Calendar, micros: number): number | null {
  const fromHour = Math.floor(micros / (3600 * SECOND));
  const fromMinute = Math.floor(micros / (60 * SECOND)) % 60;
  for (let hour = firstFrom(hours, fromHour, HOURS.to); hour !== null; hour = firstFrom(hours, hour + 1, HOURS.to)) {
    const sameHour = hour === fromHour;
    let minute = firstFrom(minutes, sameHour ? fromMinute : 0, MINUTES.to);
    for (; minute !== null; minute = firstFrom(minutes, minute + 1, MINUTES.to)) {
      const sameMinute = sameHour && minute === fromMinute;
      const second = firstFrom(seconds, sameMinute ? micros % (60 * SECOND) : 0, SECONDS.to);
      if (second !== null) return (hour * 60 + minute) * 60 * SECOND + second;
    }
  }
  return null;
}

/** The first matching day after `day`. */
function nextDay(calendar: Calendar, day: number): { day: number; cameFrom: number } | null {
  const date = new Date((day + 1) * DAY_MS);
  let cameFrom = day;
  let fromMonth = date.getUTCMonth() + 1;
  let fromDay = date.getUTCDate();
  const { years, months } = calendar;
  for (
    let year = firstFrom(years, date.getUTCFullYear(), YEARS.to);
    year !== null;
    year = firstFrom(years, year + 1, YEARS.to)
  ) {
    if (year !== date.getUTCFullYear()) [fromMonth, fromDay] = [1, 1];
    for (let month = firstFrom(months, fromMonth, 12); month !== null; month = firstFrom(months, month + 1, 12)) {
      if (month !== fromMonth) fromDay = 1;
      const monthBegins = Date.UTC(year, month - 1, 1) / DAY_MS;
      const length = Date.UTC(year, month, 1) / DAY_MS - monthBegins;
      const days = daysOf(calendar, length);
      for (let found = firstFrom(days, fromDay, length); found !== null; found = firstFrom(days, found + 1, length)) {
        const foundDay = monthBegins + found - 1;
        if (matchesWeekday(calendar, foundDay)) return { day: foundDay, cameFrom: found > 1 ? foundDay - 1 : cameFrom };
      }
      cameFrom = monthBegins + length - 1;
      fromDay = 1;
    }
  }
  return null;
}

function matchesDay(calendar: Calendar, day: number): boolean {
  const date = new Date(day * DAY_MS);
  const [year, month, monthDay] = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
  const length = new Date(Date.UTC(year, month, 0)).getUTCDate();
  return (
    firstFrom(calendar.years, year, YEARS.to) === year &&
    firstFrom(calendar.months, month, 12) === month &&
    firstFrom(daysOf(calendar, length), monthDay, length) === monthDay &&
    matchesWeekday(calendar, day)
  );
}

function matchesWeekday({ weekdays }: Calendar, day: number): boolean {
  // 1970-01-01 was a Thursday
  return weekdays === null || weekdays.has((((day + 3) % 7) + 7) % 7);
}

/** The days of a month of `length` days, counted from its beginning. */
function daysOf({ days, fromMonthEnd }: Calendar, length: number): readonly Span[] | null {
  if (!fromMonthEnd || days === null) return days;
  return days.map(({ start, stop, step }) =>
    stop === null
      ? { start: length + 1 - start, stop, step }
      : { start: length + 1 - stop, stop: length + 1 - start, step },
  );
}

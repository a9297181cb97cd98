import { type Calendar, HOURS, MINUTES, SECONDS, YEARS } from "./calendar-expression.ts";
import { type Span, firstFrom } from "./calendar-spans.ts";

const SECOND = 1_000_000;
const DAY_MS = 86_400_000;

/** A wall-clock time: days since 1970-01-01 and microseconds since midnight, in any zone. */
export interface Civil {
  readonly day: number;
  readonly micros: number;
}

/** The first matching wall-clock time not before `from`; null when there is none until the end of 2199. */
export function nextCivil(calendar: Calendar, from: Civil): Civil | null {
  const day = nextDay(calendar, from.day);
  if (day === null) return null;
  const micros = nextTime(calendar, day === from.day ? from.micros : 0);
  // The rest of the first day may be over; a whole day always has a match.
  return micros === null ? nextCivil(calendar, { day: day + 1, micros: 0 }) : { day, micros };
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

/** The first matching day from `from` on. */
function nextDay(calendar: Calendar, from: number): number | null {
  const date = new Date(from * DAY_MS);
  let [fromMonth, fromDay] = [date.getUTCMonth() + 1, date.getUTCDate()];
  const { years, months } = calendar;
  for (
    let year = firstFrom(years, date.getUTCFullYear(), YEARS.to);
    year !== null;
    year = firstFrom(years, year + 1, YEARS.to)
  ) {
    if (year !== date.getUTCFullYear()) [fromMonth, fromDay] = [1, 1];
    for (let month = firstFrom(months, fromMonth, 12); month !== null; month = firstFrom(months, month + 1, 12)) {
      const monthBegins = Date.UTC(year, month - 1, 1) / DAY_MS;
      const length = Date.UTC(year, month, 1) / DAY_MS - monthBegins;
      const days = daysOf(calendar, length);
      for (
        let day = firstFrom(days, month === fromMonth ? fromDay : 1, length);
        day !== null;
        day = firstFrom(days, day + 1, length)
      ) {
        if (matchesWeekday(calendar, monthBegins + day - 1)) return monthBegins + day - 1;
      }
    }
  }
  return null;
}

function matchesWeekday({ weekdays }: Calendar, day: number): boolean {
  // 1970-01-01 was a Thursday.
  return weekdays === null || weekdays.has((((day + 3) % 7) + 7) % 7);
}

/** The matching days of a month with `length` days, counted from its beginning. */
function daysOf({ days, fromMonthEnd }: Calendar, length: number): readonly Span[] | null {
  if (!fromMonthEnd || days === null) return days;
  return days.map(({ start, stop, step }) =>
    stop === null
      ? { start: length + 1 - start, stop, step }
      : { start: length + 1 - stop, stop: length + 1 - start, step },
  );
}

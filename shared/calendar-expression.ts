import {
  type Cursor,
  type Field,
  type Span,
  type WrittenSpan,
  printSpans,
  readSpans,
  normalizeSpans,
} from "./calendar-spans.ts";
import { printWeekdays, readWeekdays } from "./calendar-weekdays.ts";
import { digitsAt, ParseError, type Parsed, toParsed } from "./parse.ts";
import { isTimeZone } from "./time-zone.ts";

/** A parsed OnCalendar expression. A field that is null matches everything. */
export interface Calendar {
  readonly kind: "calendar";
  /** The expression as systemd prints it: two calendars are equal when these are. */
  readonly normalized: string;
  /** 0 is Monday. */
  readonly weekdays: ReadonlySet<number> | null;
  readonly years: readonly Span[] | null;
  readonly months: readonly Span[] | null;
  readonly days: readonly Span[] | null;
  /** Whether `days` count back from the last day of the month, which is 1. */
  readonly fromMonthEnd: boolean;
  readonly hours: readonly Span[] | null;
  readonly minutes: readonly Span[] | null;
  /** Seconds, in microseconds. */
  readonly seconds: readonly Span[] | null;
  /** The expression's own zone; null: the zone of the binding or host. */
  readonly zone: string | null;
}

const SECOND = 1_000_000;
export const YEARS: Field = { name: "a year", unit: 1, from: 1970, to: 2199 };
export const HOURS: Field = { name: "an hour", unit: 1, from: 0, to: 23 };
export const MINUTES: Field = { name: "a minute", unit: 1, from: 0, to: 59 };
export const SECONDS: Field = { name: "a second", unit: SECOND, from: 0, to: 60 * SECOND - 1 };
const MONTHS: Field = { name: "a month", unit: 1, from: 1, to: 12 };
const DAYS: Field = { name: "a day", unit: 1, from: 1, to: 31 };
const DAYS_FROM_END: Field = { name: "a day counted from the month's end", unit: 1, from: 1, to: 31 };

const SHORTHANDS = new Map([
  ["minutely", "*-*-* *:*:00"],
  ["hourly", "*-*-* *:00:00"],
  ["daily", "*-*-* 00:00:00"],
  ["weekly", "Mon *-*-* 00:00:00"],
  ["monthly", "*-*-01 00:00:00"],
  ["quarterly", "*-01,04,07,10-01 00:00:00"],
  ["semiannually", "*-01,07-01 00:00:00"],
  ["semi-annually", "*-01,07-01 00:00:00"],
  ["biannually", "*-01,07-01 00:00:00"],
  ["bi-annually", "*-01,07-01 00:00:00"],
  ["yearly", "*-01-01 00:00:00"],
  ["annually", "*-01-01 00:00:00"],
  ["anually", "*-01-01 00:00:00"],
]);

/** Parses systemd's calendar expressions (systemd.time(7)); docs/schedules.md lists the differences from systemd. */
export function parseCalendar(text: string): Parsed<Calendar> {
  return toParsed(() => {
    const { body, zone } = splitZone(text);
    const cursor: Cursor = { text: SHORTHANDS.get(body.toLowerCase()) ?? body, at: 0 };
    if (cursor.text === "")
      throw new ParseError('the expression is empty: write for example "daily" or "Mon 03:00"', 0);
    const weekdays = readWeekdays(cursor);
    const { utc, ...fields } = readInstant(cursor) ?? { ...readDate(cursor), ...readTime(cursor), utc: false };
    if (cursor.at < cursor.text.length) throw leftOver(cursor);
    const calendar = { kind: "calendar" as const, weekdays, ...fields, zone: utc ? "UTC" : zone };
    return { ...calendar, normalized: print(calendar) };
  });
}

function splitZone(text: string): { body: string; zone: string | null } {
  const space = text.lastIndexOf(" ");
  const last = text.slice(space + 1);
  if (space < 0) return { body: text, zone: null };
  if (last.toLowerCase() === "utc") return { body: text.slice(0, space), zone: "UTC" };
  return isTimeZone(last) ? { body: text.slice(0, space), zone: last } : { body: text, zone: null };
}

function leftOver({ text, at }: Cursor): ParseError {
  const [word] = /^ *[A-Za-z]\S*$/.exec(text.slice(at)) ?? [];
  if (word === undefined) return new ParseError("nothing is expected here: remove the rest", at);
  const position = at + word.lastIndexOf(" ") + 1;
  return new ParseError(
    `"${word.trim()}" is no time zone known here: write UTC or a name such as Europe/Berlin`,
    position,
  );
}

type DateFields = Pick<Calendar, "years" | "months" | "days" | "fromMonthEnd">;
type TimeFields = Pick<Calendar, "hours" | "minutes" | "seconds">;

/** `@` and the seconds since 1970. */
function readInstant(cursor: Cursor): (DateFields & TimeFields & { utc: boolean }) | null {
  if (cursor.text[cursor.at] !== "@") return null;
  const position = cursor.at + (/^@\s*\+?/.exec(cursor.text.slice(cursor.at))?.[0].length ?? 1);
  const digits = digitsAt(cursor.text, position);
  if (digits === "") throw new ParseError("seconds since 1970 are expected after @", position);
  const instant = new Date(Number(digits) * 1000);
  if (!(instant.getUTCFullYear() <= YEARS.to))
    throw new ParseError(`${YEARS.name} must be within ${YEARS.from}..${YEARS.to}`, position);
  cursor.at = position + digits.length;
  const only = (start: number): Span[] => [{ start, stop: null, step: 0 }];
  return {
    years: only(instant.getUTCFullYear()),
    months: only(instant.getUTCMonth() + 1),
    days: only(instant.getUTCDate()),
    fromMonthEnd: false,
    hours: only(instant.getUTCHours()),
    minutes: only(instant.getUTCMinutes()),
    seconds: only(instant.getUTCSeconds() * SECOND),
    utc: true,
  };
}

/** `year-month-day` or `month-day`, with `~` instead of the last `-` to count days from the month's end; or nothing. */
function readDate(cursor: Cursor): DateFields {
  const begin = cursor.at;
  const every: DateFields = { years: null, months: null, days: null, fromMonthEnd: false };
  if (begin === cursor.text.length) return every;
  const parts = [readSpans(cursor, 1)];
  if (cursor.text[cursor.at] === ":" || cursor.at === cursor.text.length) {
    cursor.at = begin;
    return every;
  }
  let fromMonthEnd = false;
  while (cursor.at < cursor.text.length && cursor.text[cursor.at] !== " ") {
    const separator = cursor.text[cursor.at];
    if (separator !== "-" && separator !== "~")
      throw new ParseError("a date is written year-month-day or month-day, a time hour:minute", cursor.at);
    if (fromMonthEnd || parts.length === 3)
      throw new ParseError("the date ends after its day: write a space before the time", cursor.at);
    fromMonthEnd = separator === "~";
    cursor.at++;
    parts.push(readSpans(cursor, 1));
  }
  if (parts.length === 1)
    throw new ParseError("a date needs a month and a day (05-01), a time an hour and a minute (05:00)", cursor.at);
  skipSpaces(cursor);
  const [days = null, months = null, years = null] = parts.toReversed();
  return {
    years: normalizeSpans(years?.map(withCentury) ?? null, YEARS),
    months: normalizeSpans(months, MONTHS),
    days: normalizeSpans(days, fromMonthEnd ? DAYS_FROM_END : DAYS, fromMonthEnd),
    fromMonthEnd: fromMonthEnd && days !== null,
  };
}

/** Two digits are a year of 1970..2069. */
function withCentury(span: WrittenSpan): WrittenSpan {
  return { ...span, start: fullYear(span.start), stop: span.stop === null ? null : fullYear(span.stop) };
}

function fullYear(year: number): number {
  if (year >= 100) return year;
  return year < 70 ? year + 2000 : year + 1900;
}

/** `hour:minute` or `hour:minute:second`; nothing is midnight. */
function readTime(cursor: Cursor): TimeFields {
  const zero = [{ start: 0, stop: null, step: 0, position: cursor.at }];
  if (cursor.at === cursor.text.length) return { hours: zero, minutes: zero, seconds: zero };
  const hours = readSpans(cursor, 1);
  if (cursor.text[cursor.at] !== ":")
    throw new ParseError("a time is written hour:minute or hour:minute:second", cursor.at);
  cursor.at++;
  const minutes = readSpans(cursor, 1);
  let seconds: WrittenSpan[] | null = zero;
  if (cursor.text[cursor.at] === ":") {
    cursor.at++;
    seconds = readSpans(cursor, SECOND);
  }
  return {
    hours: normalizeSpans(hours, HOURS),
    minutes: normalizeSpans(minutes, MINUTES),
    seconds: normalizeSpans(seconds, SECONDS),
  };
}

function skipSpaces(cursor: Cursor): void {
  while (cursor.text[cursor.at] === " ") cursor.at++;
}

function print(calendar: Omit<Calendar, "normalized">): string {
  const { weekdays, years, months, days, fromMonthEnd, hours, minutes, seconds, zone } = calendar;
  const date = `${printSpans(years, 1)}-${printSpans(months, 1)}${fromMonthEnd ? "~" : "-"}${printSpans(days, 1)}`;
  const time = `${printSpans(hours, 1)}:${printSpans(minutes, 1)}:${printSpans(seconds, SECOND)}`;
  return [...(weekdays === null ? [] : [printWeekdays(weekdays)]), date, time, ...(zone === null ? [] : [zone])].join(
    " ",
  );
}

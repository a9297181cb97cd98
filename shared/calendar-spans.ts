import { digitsAt, ParseError } from "./parse.ts";

/** One entry of a list: `start`, or every `step` from `start` to `stop`, or to the field's end when `stop` is null. */
export interface Span {
  readonly start: number;
  readonly stop: number | null;
  /** 0: `start` only. */
  readonly step: number;
}

/** A span as written, with its position in the text. */
export interface WrittenSpan extends Span {
  readonly position: number;
}

/** The values a field may have. Seconds are counted in microseconds, everything else in its own unit. */
export interface Field {
  readonly name: string;
  /** The value of a plain 1. */
  readonly unit: number;
  readonly from: number;
  readonly to: number;
}

export interface Cursor {
  readonly text: string;
  at: number;
}

const SECOND = 1_000_000;
const LARGEST_NUMBER = 2_147_483_647;
const MOST_SPANS = 241;
const SEPARATORS = new Set([undefined, " ", ",", "-", "~", ":"]);

/**
 * Parses `*` (null), or a list such as `1,5..9,10/3`.
 * @param unit the value of a plain 1: 1, or 1,000,000 for seconds, which may then have a fraction
 */
export function readSpans(cursor: Cursor, unit: number): WrittenSpan[] | null {
  if (cursor.text[cursor.at] === "*") {
    const position = cursor.at++;
    if (cursor.text[cursor.at] === "/")
      throw new ParseError("a step needs a first value: write 0/2 or 1/2, not */2", cursor.at);
    return unit === SECOND ? [{ start: 0, stop: null, step: SECOND, position }] : null;
  }
  const spans = [readSpan(cursor, unit)];
  while (cursor.text[cursor.at] === ",") {
    cursor.at++;
    if (spans.length >= MOST_SPANS)
      throw new ParseError(`a list may have ${MOST_SPANS} entries at most: use a range or a step`, cursor.at);
    spans.push(readSpan(cursor, unit));
  }
  return spans;
}

function readSpan(cursor: Cursor, unit: number): WrittenSpan {
  const position = cursor.at;
  const start = readNumber(cursor, unit);
  let stop: number | null = null;
  let step = 0;
  if (cursor.text.startsWith("..", cursor.at)) {
    cursor.at += 2;
    stop = readNumber(cursor, unit);
    step = unit;
    if (unit === SECOND && stop >= start && stop - start < unit && cursor.text[cursor.at] !== "/") {
      throw new ParseError("the range is shorter than a second: write its first value alone, or add a step", position);
    }
  }
  if (cursor.text[cursor.at] === "/") {
    cursor.at++;
    const stepPosition = cursor.at;
    step = readNumber(cursor, unit);
    if (step === 0) throw new ParseError("a step of 0 never moves on: write 1 or more", stepPosition);
  }
  const next = cursor.text[cursor.at];
  if (!SEPARATORS.has(next)) {
    throw new ParseError(`"${next}" can't follow a number here: write one of , .. / - ~ : or a space`, cursor.at);
  }
  return { start, stop, step, position };
}

function readNumber(cursor: Cursor, unit: number): number {
  const position = cursor.at;
  const digits = digitsAt(cursor.text, cursor.at);
  if (digits === "") throw new ParseError("a number is expected here", position);
  cursor.at += digits.length;
  let value = Number(digits) * unit;
  // ".." after the number is a range; a single "." is a fraction.
  if (unit === SECOND && cursor.text[cursor.at] === "." && cursor.text[cursor.at + 1] !== ".") {
    cursor.at++;
    const fraction = digitsAt(cursor.text, cursor.at);
    if (fraction === "") throw new ParseError("digits are expected after the point", cursor.at);
    cursor.at += fraction.length;
    value += Number(fraction.slice(0, 6).padEnd(6, "0")) + (Number(fraction[6] ?? "0") >= 5 ? 1 : 0);
  }
  if (value > LARGEST_NUMBER) throw new ParseError("the number is too large", position);
  return value;
}

/**
 * Sorts, removes duplicates, and rejects values outside the field.
 * @param countsDown days are counted from the month's end, of which systemd allows three fewer with every further entry
 */
export function normalizeSpans(written: WrittenSpan[] | null, field: Field, countsDown = false): Span[] | null {
  if (written === null) return null;
  const sorted = written
    .map(cutToReach)
    .toSorted((a, b) => a.start - b.start || (a.stop ?? -1) - (b.stop ?? -1) || a.step - b.step);
  const different = sorted.filter((span, index) => {
    const before = sorted[index - 1];
    return before?.start !== span.start || before.stop !== span.stop || before.step !== span.step;
  });
  for (const [index, span] of different.entries()) {
    checkSpan(span, countsDown ? { ...field, to: field.to - 3 * (index + 1) } : field, countsDown);
  }
  return different.map(({ start, stop, step }) => ({ start, stop, step }));
}

/** Moves the range's end to the last value that is reached. */
function cutToReach({ start, stop, step, position }: WrittenSpan): WrittenSpan {
  if (stop === null) return { start, stop, step, position };
  if (stop < start) throw new ParseError("the range runs backwards: write the smaller value first", position);
  const last = stop - ((stop - start) % step);
  return last === start ? { start, stop: null, step: 0, position } : { start, stop: last, step, position };
}

function checkSpan({ start, stop, step, position }: WrittenSpan, field: Field, countsDown: boolean): void {
  const { name, unit, from, to } = field;
  const allowed = `${from / unit}..${to / unit}`;
  if (start < from || Math.max(start, stop ?? 0) > to)
    throw new ParseError(`${name} must be within ${allowed}`, position);
  if (stop === null && step > (countsDown ? start - from : to - start)) {
    throw new ParseError(
      `the step leaves ${name} no second value within ${allowed}: make it smaller or leave it out`,
      position,
    );
  }
}

/** The smallest value ≥ `value`, or null. @param to the last value of the field */
export function firstFrom(spans: readonly Span[] | null, value: number, to: number): number | null {
  if (spans === null) return value <= to ? value : null;
  let first: number | null = null;
  for (const { start, stop, step } of spans) {
    if (start < value && step === 0) continue;
    const candidate = start >= value ? start : start + Math.ceil((value - start) / step) * step;
    if (candidate <= (stop ?? to) && candidate <= to && (first === null || candidate < first)) first = candidate;
  }
  return first;
}

/** The normal form of one field. */
export function printSpans(spans: readonly Span[] | null, unit: number): string {
  if (spans === null) return "*";
  const [first] = spans;
  // Every second, whatever else is listed.
  if (unit === SECOND && first?.start === 0 && first.stop === null && first.step === SECOND) return "*";
  return spans.map((span) => printSpan(span, unit)).join(",");
}

function printSpan({ start, stop, step }: Span, unit: number): string {
  const range = stop === null ? "" : `..${printNumber(stop, unit, 2)}`;
  const stride = step === 0 || (stop !== null && step === unit) ? "" : `/${printNumber(step, unit, 1)}`;
  return printNumber(start, unit, 2) + range + stride;
}

function printNumber(value: number, unit: number, width: number): string {
  const fraction = value % unit;
  const whole = String(Math.floor(value / unit)).padStart(width, "0");
  return fraction === 0 ? whole : `${whole}.${String(fraction).padStart(6, "0")}`;
}

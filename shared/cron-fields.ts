import { digitsAt, ParseError } from "./parse.ts";

/** The values one of the five fields may have. */
export interface CronField {
  readonly name: string;
  readonly from: number;
  /** 7 for weekdays: Sunday again. */
  readonly to: number;
  /** The English names by their number; none: numbers only. */
  readonly names: readonly string[];
}

/** The values a field matches; null for `*`, which places no condition on a day or weekday. */
export type CronValues = ReadonlySet<number> | null;

const SUNDAY_AGAIN = 7;

/** @param begin position of the word in the whole expression */
export function readField(word: string, begin: number, field: CronField): CronValues {
  if (word === "*") return null;
  const values = new Set<number>();
  let at = begin;
  for (const entry of word.split(",")) {
    for (const value of readEntry(entry, at, field)) values.add(field.to === SUNDAY_AGAIN ? value % 7 : value);
    at += entry.length + 1;
  }
  return values;
}

function readEntry(entry: string, at: number, field: CronField): number[] {
  const [range = "", step, ...tooMany] = entry.split("/");
  const stepAt = at + range.length + 1;
  if (tooMany.length > 0) throw new ParseError("an entry has one step at most", stepAt + (step ?? "").length);
  const [start, stop] = readRange(range, at, field);
  if (step === undefined) return sequence(start, stop ?? start, 1);
  if (stop === null)
    throw new ParseError(`a step needs a range: write */${step} or ${start}-${lastOf(field)}/${step}`, at);
  const stride = readNumber(step, stepAt);
  if (stride === 0) throw new ParseError("a step of 0 never moves on: write 1 or more", stepAt);
  if (stride > stop - start)
    throw new ParseError(`the step leaves ${field.name} no second value: make it smaller or leave it out`, stepAt);
  return sequence(start, stop, stride);
}

function readRange(range: string, at: number, field: CronField): [start: number, stop: number | null] {
  if (range === "*") return [field.from, lastOf(field)];
  const [first = "", last, ...tooMany] = range.split("-");
  const start = readValue(first, at, field);
  if (last === undefined) return [start, null];
  const lastAt = at + first.length + 1;
  if (tooMany.length > 0) throw new ParseError("a range has two ends only: write a comma here", lastAt + last.length);
  const read = readValue(last, lastAt, field);
  const stop = field.to === SUNDAY_AGAIN && read === 0 && start > 0 ? SUNDAY_AGAIN : read;
  if (stop < start) throw new ParseError("the range runs backwards: write the smaller value first", at);
  return [start, stop];
}

function readValue(text: string, at: number, field: CronField): number {
  const named = text === "" ? -1 : field.names.indexOf(text.toLowerCase());
  if (named >= 0) return named;
  if (/^[A-Za-z?#]/.test(text) || /[#?]/.test(text)) {
    const names = field.names.filter((name) => name !== "").join(", ");
    throw new ParseError(
      `"${text}" is not known here: write a number${names === "" ? "" : ` or ${names}`}; systemd's calendar says the rest`,
      at,
    );
  }
  const value = readNumber(text, at);
  if (value < field.from || value > field.to)
    throw new ParseError(`${field.name} must be within ${field.from}..${field.to}`, at);
  return value;
}

function readNumber(text: string, at: number): number {
  const digits = digitsAt(text, 0);
  if (digits === "") throw new ParseError("a number is expected here", at);
  if (digits.length < text.length)
    throw new ParseError(
      `"${text[digits.length]}" can't follow a number here: write one of , - / or a space`,
      at + digits.length,
    );
  return Number(digits);
}

/** The normal form of one field. */
export function printField(values: CronValues, field: CronField): string {
  if (values === null) return "*";
  const last = lastOf(field);
  const sorted = [...values].toSorted((one, other) => one - other);
  // A day or weekday field that lists every value is still a condition: if both are given, one of them is enough.
  const isAll = sorted.length === last - field.from + 1;
  if (isAll) return field.from === 1 && last === 31 ? "1-31" : field.to === SUNDAY_AGAIN ? "0-6" : "*";
  const stride = (sorted[1] ?? 0) - (sorted[0] ?? 0);
  const stepped = stride > 1 && sorted.length > 2 ? sequence(field.from, last, stride) : [];
  if (String(stepped) === String(sorted)) return `*/${stride}`;
  const runs: number[][] = [];
  for (const value of sorted) {
    const run = runs.at(-1);
    if (run?.at(-1) === value - 1) run.push(value);
    else runs.push([value]);
  }
  return runs.map((run) => (run.length > 2 ? `${run[0]}-${run.at(-1)}` : run.join(","))).join(",");
}

/** Weekdays are 0..6, however Sunday is written. */
function lastOf({ to }: CronField): number {
  return to === SUNDAY_AGAIN ? 6 : to;
}

function sequence(from: number, to: number, stride: number): number[] {
  return Array.from({ length: Math.floor((to - from) / stride) + 1 }, (_, index) => from + index * stride);
}

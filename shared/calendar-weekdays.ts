import type { Cursor } from "./calendar-spans.ts";
import { ParseError } from "./parse.ts";

const NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/**
 * Parses `Mon`, `Mon,Thu..Sat` and the like, with trailing spaces; 0 is Monday. Null when no weekday, or every one, is
 * named.
 */
export function readWeekdays(cursor: Cursor): Set<number> | null {
  const days = new Set<number>();
  let rangeFrom: number | null = null;
  for (;;) {
    const position = cursor.at;
    const day = readName(cursor);
    if (day === null) {
      if (days.size === 0) return null;
      throw new ParseError("a weekday is expected here: Mon, Tue, Wed, Thu, Fri, Sat or Sun", position);
    }
    if (rangeFrom !== null && rangeFrom > day) {
      throw new ParseError(
        "the range runs backwards: weeks begin on Monday, so write Sat,Sun,Mon as Sat..Sun,Mon",
        position,
      );
    }
    for (let each = rangeFrom ?? day; each <= day; each++) days.add(each);

    const wasRange = rangeFrom !== null;
    rangeFrom = null;
    if (atEnd(cursor)) break;
    const range = cursor.text.startsWith("..", cursor.at) ? 2 : cursor.text[cursor.at] === "-" ? 1 : 0;
    if (range > 0) {
      if (wasRange) throw new ParseError("a range has two ends only: write a comma here", cursor.at);
      rangeFrom = day;
      cursor.at += range;
    } else if (cursor.text[cursor.at] === ",") {
      cursor.at++;
      if (atEnd(cursor)) break;
    } else {
      throw new ParseError("a weekday is followed by a comma, .. or a space", cursor.at);
    }
  }
  while (cursor.text[cursor.at] === " ") cursor.at++;
  return days.size === NAMES.length ? null : days;
}

function atEnd({ text, at }: Cursor): boolean {
  return at >= text.length || text[at] === " ";
}

function readName(cursor: Cursor): number | null {
  const rest = cursor.text.slice(cursor.at).toLowerCase();
  for (const [day, name] of NAMES.entries()) {
    const full = name.toLowerCase();
    const length = [full.length, 3].find((size) => rest.startsWith(full.slice(0, size)));
    if (length === undefined) continue;
    if (!["", "-", ".", ",", " "].includes(rest.charAt(length))) {
      throw new ParseError(`write this weekday as ${name.slice(0, 3)} or ${name}`, cursor.at);
    }
    cursor.at += length;
    return day;
  }
  return null;
}

/** Three or more consecutive days become a range. */
export function printWeekdays(days: ReadonlySet<number>): string {
  const runs: number[][] = [];
  for (const day of [...days].toSorted((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run?.at(-1) === day - 1) run.push(day);
    else runs.push([day]);
  }
  return runs
    .map((run) => run.map((day) => NAMES[day]?.slice(0, 3)))
    .map((run) => (run.length > 2 ? `${run[0]}..${run.at(-1)}` : run.join(",")))
    .join(",");
}

import { digitsAt, ParseError, type Parsed, toParsed } from "./parse.ts";

const UNITS = new Map<string, bigint>(
  Object.entries({
    "us usec µs μs": 1n,
    "ms msec": 1_000n,
    "s sec second seconds": 1_000_000n,
    "m min minute minutes": 60_000_000n,
    "h hr hour hours": 3_600_000_000n,
    "d day days": 86_400_000_000n,
    "w week weeks": 604_800_000_000n,
    "M month months": 2_629_800_000_000n,
    "y year years": 31_557_600_000_000n,
  }).flatMap(([names, micros]) => names.split(" ").map((name) => [name, micros] as const)),
);

/**
 * Parses a systemd.time(7) span such as "90", "5m" or "1h 30min" into whole milliseconds, rounded up. A plain number is
 * seconds. "infinity" is rejected: everything timed here has to end.
 */
export function parseTimeSpan(text: string): Parsed<number> {
  return toParsed(() => {
    let at = skipSpace(text, 0);
    if (at === text.length) throw new ParseError('the span is empty: write for example "5m" or "1h 30min"', 0);
    if (/^infinity\s*$/.test(text.slice(at)))
      throw new ParseError("the span must end: write a finite one, such as 24h", at);
    let micros = 0n;
    while (at < text.length) {
      const term = readTerm(text, at);
      micros += term.micros;
      at = skipSpace(text, term.end);
    }
    const millis = Number((micros + 999n) / 1000n);
    if (!Number.isSafeInteger(millis)) throw new ParseError("the span is too long", 0);
    return millis;
  });
}

function readTerm(text: string, begin: number): { micros: bigint; end: number } {
  if (text[begin] === "-") throw new ParseError("a span can't be negative: remove the minus", begin);
  const sign = /^\+\d/.test(text.slice(begin, begin + 2)) ? 1 : 0;
  const digits = digitsAt(text, begin + sign);
  let at = begin + sign + digits.length;
  let fraction = "";
  if (text[at] === ".") {
    fraction = digitsAt(text, at + 1);
    if (fraction === "") throw new ParseError("digits are expected after the point", at + 1);
    at += 1 + fraction.length;
  } else if (digits === "") {
    throw new ParseError("a number is expected here", begin);
  }
  const unitAt = skipSpace(text, at);
  const word = /^[A-Za-zµμ]*/.exec(text.slice(unitAt))?.[0] ?? "";
  const unit = word === "" ? 1_000_000n : UNITS.get(word);
  if (unit === undefined) {
    throw new ParseError(`"${word}" is no unit of time: write ms, s, min, h, d, w, month or y`, unitAt);
  }
  if (word === "" && unitAt === at && at < text.length)
    throw new ParseError("a unit of time or a space is expected here", at);
  let micros = BigInt(digits) * unit;
  let worth = unit;
  // As in systemd, each part is cut to whole microseconds.
  for (const digit of fraction) micros += BigInt(digit) * (worth /= 10n);
  return { micros, end: unitAt + word.length };
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (" \t\n\r".includes(text[next] ?? "x")) next++;
  return next;
}

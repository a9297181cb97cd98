import { type Calendar, parseCalendar } from "./calendar-expression.ts";
import { type Civil, nextCivil } from "./calendar-search.ts";
import { type Cron, looksLikeCron, nextCronCivil, parseCron } from "./cron.ts";
import type { Parsed } from "./parse.ts";
import { offsetAt, instantsShowing } from "./time-zone.ts";

export { type Calendar, parseCalendar };
export { type Parsed } from "./parse.ts";
export { parseTimeSpan } from "./time-span.ts";

/** A parsed schedule: it is due whenever one of its expressions is. */
export interface Timetable {
  readonly expressions: readonly (Calendar | Cron)[];
  /** The normal forms, in the given order. */
  readonly normalized: string;
}

/** Parses one expression: systemd's calendar, or cron's five fields. */
export function parseExpression(text: string): Parsed<Calendar | Cron> {
  return looksLikeCron(text) ? parseCron(text) : parseCalendar(text);
}

/** @returns the first error of the first invalid expression; `index` is that expression's */
export function parseTimetable(
  expressions: string | readonly string[],
): { ok: true; value: Timetable } | { ok: false; message: string; position: number; index: number } {
  const texts = typeof expressions === "string" ? [expressions] : expressions;
  const plans: (Calendar | Cron)[] = [];
  for (const [index, text] of texts.entries()) {
    const parsed = parseExpression(text);
    if (!parsed.ok) return { ok: false, message: parsed.message, position: parsed.position, index };
    plans.push(parsed.value);
  }
  return { ok: true, value: { expressions: plans, normalized: plans.map(({ normalized }) => normalized).join("; ") } };
}

/** The first match of any expression after `afterMs`: see `nextAfter`. */
export function nextInTimetable(timetable: Timetable, afterMs: number, zone: string): number | null {
  const found = timetable.expressions.map((plan) => nextAfter(plan, afterMs, zone)).filter((at) => at !== null);
  return found.length === 0 ? null : Math.min(...found);
}

/** The next `count` instants after `afterMs`, fewer when there are no more, without duplicates. */
export function nextInstants(timetable: Timetable, afterMs: number, zone: string, count: number): number[] {
  const waiting = timetable.expressions.map((plan) => ({ plan, at: nextAfter(plan, afterMs, zone) }));
  const found: number[] = [];
  while (found.length < count) {
    const instants = waiting.map(({ at }) => at).filter((at) => at !== null);
    if (instants.length === 0) break;
    const first = Math.min(...instants);
    found.push(first);
    for (const each of waiting) if (each.at === first) each.at = nextAfter(each.plan, first, zone);
  }
  return found;
}

const SECOND = 1_000_000;
const DAY_SECONDS = 86_400;

/**
 * The first match strictly after `afterMs`, in whole ms since 1970 (a match between two ms counts at the later); null
 * when none comes before the year 2200.
 *
 * As with systemd, and for cron too: a wall-clock time that a clock change skips is skipped, with the rest of an hour
 * whose beginning is skipped. One shown twice matches at its first showing, and at its second only when the search
 * begins after the first.
 * @param zone IANA zone for an expression that names none. Throws a RangeError for an unknown one
 */
export function nextAfter(plan: Calendar | Cron, afterMs: number, zone: string): number | null {
  const ownZone = plan.zone ?? zone;
  const afterMicros = Math.floor(afterMs * 1000) + 1;
  const afterSecond = Math.floor(afterMicros / SECOND);
  let from = civilOf(afterMicros + offsetAt(ownZone, afterSecond) * SECOND);
  for (;;) {
    const found = plan.kind === "cron" ? nextCronCivil(plan, from) : nextCivil(plan, from);
    if (found === null) return null;
    const skipped = beginningsOf(secondsOf(found)).find(
      (civil) => civil >= secondsOf(from) && instantsShowing(ownZone, civil).instants.length === 0,
    );
    if (skipped !== undefined) {
      from = civilOf((skipped + instantsShowing(ownZone, skipped).jump) * SECOND);
      continue;
    }
    const second = instantsShowing(ownZone, secondsOf(found)).instants.find((instant) => instant >= afterSecond);
    if (second !== undefined) return second * 1000 + Math.ceil((found.micros % SECOND) / 1000);
    // Only two clock changes within a day could lead here: go on, whatever happens.
    from = civilOf((secondsOf(found) + 1) * SECOND);
  }
}

/**
 * A time, and the beginnings of its day, hour and minute: where the clocks skip one, systemd continues from where they
 * jump to.
 */
function beginningsOf(civil: number): number[] {
  return [DAY_SECONDS, 3600, 60, 1].map((unit) => Math.floor(civil / unit) * unit);
}

function secondsOf({ day, micros }: Civil): number {
  return day * DAY_SECONDS + Math.floor(micros / SECOND);
}

function civilOf(micros: number): Civil {
  const day = Math.floor(micros / (DAY_SECONDS * SECOND));
  return { day, micros: micros - day * DAY_SECONDS * SECOND };
}

/**
 * A delay for one binding: 0 ≤ d < `spanMs`, whole ms, always the same for the same id and span, and evenly spread over
 * ids.
 */
export function randomizedDelayMs(bindingId: string, spanMs: number): number {
  let high = 0x9e3779b9;
  let low = 0x85ebca6b;
  for (const character of bindingId) {
    const code = character.codePointAt(0) ?? 0;
    high = Math.imul(high ^ code, 0x01000193);
    low = Math.imul(low ^ code, 0x27d4eb2f);
  }
  const fraction = (scatter(high ^ low) + scatter(low) / 2 ** 32) / 2 ** 32;
  return spanMs > 0 ? Math.floor(fraction * spanMs) : 0;
}

/** Spreads the difference of a single bit over all 32. @returns 0 … 2³²−1 */
function scatter(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

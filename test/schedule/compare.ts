import * as fc from "fast-check";
import { type Calendar, nextAfter, parseCalendar } from "../../shared/schedule.ts";
import { offsetAt } from "../../shared/time-zone.ts";
import { damagedExpression, expression, ZONES } from "./expressions.ts";
import { askSystemd, type Opinion } from "./systemd.ts";

/** One question put to systemd and to us. */
interface Question {
  expression: string;
  zone: string;
  baseSecond: number;
}

export interface Comparison {
  asked: number;
  accepted: number;
  instants: number;
  /** Differences with a reason, by its name; see REASONS. */
  explained: Record<Reason, string[]>;
  differences: string[];
}

const ITERATIONS = 6;
const DAY = 86_400;
/** How many instants are looked at, at most, to find out what systemd left out. */
const ENOUGH = 20_000;

/** Puts `count` generated questions to both, the same ones for the same seed. */
export async function compareWithSystemd(count: number, seed: number): Promise<Comparison> {
  const result: Comparison = {
    asked: 0,
    accepted: 0,
    instants: 0,
    explained: { skips: [], breaksOff: [], showings: [], miscounts: [], leavesOut: [] },
    differences: [],
  };
  const places = generatePlaces(count, seed);
  const worker = async (): Promise<void> => {
    for (let place = places.pop(); place !== undefined; place = places.pop()) {
      const theirs = await askSystemd(place.expressions, place.baseSecond, place.zone, ITERATIONS);
      for (const [index, expression] of place.expressions.entries()) {
        judge(result, { ...place, expression }, theirs[index] ?? null);
      }
    }
  };
  await Promise.all([worker(), worker()]);
  return result;
}

function judge(result: Comparison, question: Question, theirs: Opinion | null): void {
  const calendar = parseCalendar(question.expression);
  const ours = calendar.ok ? answer(calendar.value, question) : null;
  result.asked++;
  if (theirs !== null) result.accepted++;
  result.instants += theirs?.seconds?.length ?? 0;
  if (print(theirs) === print(ours)) return;
  const difference = describe(question, theirs, ours);
  const reason = calendar.ok && theirs !== null ? reasonOf(calendar.value, question, theirs) : undefined;
  (reason === undefined ? result.differences : result.explained[reason]).push(difference);
}

type Reason = keyof typeof REASONS;

/** The differences that stay; docs/schedules.md has the whole list, with those that are never generated. */
const REASONS = {
  /** Systemd's search stops with "Infinite loop in calendar calculation"; ours goes on. */
  breaksOff: (_calendar: Calendar, _question: Question, theirs: Opinion) => theirs.seconds === null,
  /**
   * Before version 260 systemd runs past the end of a field with an open step (`*:0/25`) and, when that carries over
   * two fields at once, goes on behind the first matches of the new day or year (its issues 22665 and 40260).
   */
  skips: (calendar: Calendar, question: Question, theirs: Opinion) =>
    skipsSome(calendar, question, theirs.seconds ?? []),
  /** With `~` or at a month's first midnight systemd takes the other of two showings of the same time. */
  showings: (calendar: Calendar, question: Question, theirs: Opinion) =>
    showsTheSame(calendar, question, theirs.seconds ?? []),
  /**
   * With `~`, in Dublin's winter time, which the zone files call the daylight-saving one, systemd can count a day wrong
   * near a change.
   */
  miscounts: (calendar: Calendar, question: Question, theirs: Opinion) =>
    zoneOf(calendar, question) === "Europe/Dublin" && miscountsDays(calendar, question, theirs.seconds ?? []),
  /**
   * There, and in Chatham, where clocks jump at a quarter to, systemd can leave out some of what the clocks do show
   * after a jump.
   */
  leavesOut: (calendar: Calendar, question: Question, theirs: Opinion) =>
    ["Europe/Dublin", "Pacific/Chatham"].includes(zoneOf(calendar, question)) &&
    leavesOutAfterJump(calendar, question, theirs.seconds ?? []),
};

function reasonOf(calendar: Calendar, question: Question, theirs: Opinion): Reason | undefined {
  if (theirs.normalized !== null && theirs.normalized !== calendar.normalized) return undefined;
  const names = ["breaksOff", "skips", "showings", "miscounts", "leavesOut"] as const;
  return names.find((name) => REASONS[name](calendar, question, theirs));
}

function skipsSome(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const fields = [calendar.days, calendar.hours, calendar.minutes, calendar.seconds];
  const hasOpenStep = fields.some((spans) => spans?.some(({ stop, step }) => stop === null && step > 0));
  const shown = (second: number): number => second + offsetAt(zoneOf(calendar, question), second);
  // by what the clocks show: when the search has come past a change, it may also take the other showing
  const ours = new Set(instantsOf(calendar, question, ENOUGH).map(shown));
  return hasOpenStep && theirs.every((second) => ours.has(shown(second)));
}

function showsTheSame(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const shown = (second: number): number => second + offsetAt(zoneOf(calendar, question), second);
  const ours = instantsOf(calendar, question, ITERATIONS);
  return (
    theirs.length === ours.length && ours.every((second, index) => shown(second) === shown(theirs[index] ?? Number.NaN))
  );
}

function miscountsDays(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const zone = zoneOf(calendar, question);
  const week = 7 * DAY;
  const isFarFromChange = (second: number): boolean => offsetAt(zone, second - week) === offsetAt(zone, second + week);
  const ours = instantsOf(calendar, question, ITERATIONS * 2).filter((second) => second <= (theirs.at(-1) ?? 0));
  return calendar.fromMonthEnd && String(theirs.filter(isFarFromChange)) === String(ours.filter(isFarFromChange));
}

function leavesOutAfterJump(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const zone = zoneOf(calendar, question);
  const said = new Set(theirs);
  const ours = instantsUntil(calendar, question, theirs.at(-1));
  const known = new Set(ours);
  const isAfterJump = (second: number): boolean => offsetAt(zone, second - DAY) < offsetAt(zone, second);
  return theirs.every((second) => known.has(second)) && ours.every((second) => said.has(second) || isAfterJump(second));
}

function zoneOf(calendar: Calendar, { zone }: Question): string {
  return calendar.zone ?? zone;
}

function answer(calendar: Calendar, question: Question): Opinion {
  return { normalized: calendar.normalized, seconds: instantsOf(calendar, question, ITERATIONS) };
}

function instantsUntil(calendar: Calendar, question: Question, last = 0): number[] {
  return instantsOf(calendar, question, ENOUGH).filter((second) => second <= last);
}

function instantsOf(calendar: Calendar, { zone, baseSecond }: Question, count: number): number[] {
  const seconds: number[] = [];
  for (let after = baseSecond * 1000; seconds.length < count;) {
    const next = nextAfter(calendar, after, zone);
    if (next === null) break;
    seconds.push(Math.floor(next / 1000));
    after = next;
  }
  return seconds;
}

/** A zone and a moment, and all that is asked there. */
interface Place {
  zone: string;
  baseSecond: number;
  expressions: string[];
}

const EXPRESSIONS_PER_PLACE = 20;

function generatePlaces(count: number, seed: number): Place[] {
  const changes = ZONES.flatMap((zone) => clockChanges(zone).map((second) => ({ zone, second })));
  const nearChange = fc
    .tuple(fc.constantFrom(...changes), fc.integer({ min: -2 * DAY, max: DAY / 8 }))
    .map(([{ zone, second }, distance]) => ({ zone, baseSecond: second + distance }));
  const anywhere = fc.record({
    zone: fc.constantFrom(...ZONES),
    baseSecond: fc.integer({ min: Date.UTC(2000, 0) / 1000, max: Date.UTC(2060, 0) / 1000 }),
  });
  const texts = fc.oneof({ weight: 5, arbitrary: expression }, { weight: 1, arbitrary: damagedExpression });
  const places = fc.oneof({ weight: 3, arbitrary: nearChange }, { weight: 1, arbitrary: anywhere });
  const needed = Math.ceil(count / EXPRESSIONS_PER_PLACE);
  const asked = fc.sample(texts, { numRuns: count, seed });
  return fc
    .sample(places, { numRuns: needed, seed })
    .map((place) => ({ ...place, expressions: asked.splice(0, EXPRESSIONS_PER_PLACE) }));
}

/** The instants from 2005 to 2037 at which the zone's clocks were changed. */
function clockChanges(zone: string): number[] {
  const found: number[] = [];
  const end = Date.UTC(2037, 0) / 1000;
  for (let day = Date.UTC(2005, 0) / 1000; day < end; day += DAY) {
    if (offsetAt(zone, day) === offsetAt(zone, day + DAY)) continue;
    let [before, after] = [day, day + DAY];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (offsetAt(zone, middle) === offsetAt(zone, day)) before = middle;
      else after = middle;
    }
    found.push(after);
  }
  return found;
}

function describe(
  { expression: text, zone, baseSecond }: Question,
  theirs: Opinion | null,
  ours: Opinion | null,
): string {
  return `"${text}" in ${zone} after ${printSecond(baseSecond)}\n  systemd: ${print(theirs)}\n  ours:    ${print(ours)}`;
}

function print(opinion: Opinion | null): string {
  if (opinion === null) return "refused";
  const instants = opinion.seconds === null ? "broke off" : opinion.seconds.map(printSecond).join(" ") || "never";
  return `${opinion.normalized} → ${instants}`;
}

function printSecond(second: number): string {
  return new Date(second * 1000).toISOString().slice(0, 19);
}

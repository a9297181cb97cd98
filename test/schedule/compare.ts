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
  /** Differences with a reason; see `hasReason`. */
  explained: string[];
  differences: string[];
}

const ITERATIONS = 6;
const DAY = 86_400;

/** Puts `count` generated questions to both, the same ones for the same seed. */
export async function compareWithSystemd(count: number, seed: number): Promise<Comparison> {
  const result: Comparison = { asked: 0, accepted: 0, instants: 0, explained: [], differences: [] };
  const questions = generateQuestions(count, seed);
  const worker = async (): Promise<void> => {
    for (let question = questions.pop(); question !== undefined; question = questions.pop()) {
      const theirs = await askSystemd(question.expression, question.baseSecond, question.zone, ITERATIONS);
      const calendar = parseCalendar(question.expression);
      const ours = calendar.ok ? answer(calendar.value, question) : null;
      result.asked++;
      if (theirs !== null) result.accepted++;
      result.instants += theirs?.seconds?.length ?? 0;
      if (print(theirs) === print(ours)) continue;
      const known = calendar.ok && theirs !== null && hasReason(calendar.value, question, theirs);
      (known ? result.explained : result.differences).push(describe(question, theirs, ours));
    }
  };
  await Promise.all([worker(), worker()]);
  return result;
}

/**
 * The differences we keep:
 * - Before version 260 systemd runs past the end of a field with an open step (`*:0/25`, `*-*-1/7`) and, when that carries over two
 *   fields at once (the last hour of a day, the last days of a year), goes on behind the first matches of the new day or year
 *   (its issues 22665 and 40260). We skip none.
 * - At a few changes of the clocks systemd's search stops with "Infinite loop in calendar calculation". Ours goes on.
 * - Which showing of a time shown twice systemd takes depends on where its search passed before, with `~` and at a month's first
 *   midnight. We take the first that is still to come.
 * - With `~`, in Dublin's winter time, which the zone files call the daylight-saving one, systemd can count a day wrong in the
 *   week of a change. We don't.
 *
 * Never generated, and different for a reason:
 * - The abbreviation of the machine's own zone ("12:00 CEST"), and the zone names "localtime", "posix/…" and "right/…":
 *   an expression here means the same on every machine.
 * - An old zone name in the wrong case ("Us/Pacific"), which we take.
 * - Zones whose rules changed lately (Morocco): systemd asks the machine's zone files, we ask those of the runtime.
 * - Fractions below a millisecond: our instants are whole milliseconds, rounded up.
 */
function hasReason(calendar: Calendar, question: Question, theirs: Opinion): boolean {
  if (theirs.normalized !== calendar.normalized) return false;
  if (theirs.seconds === null) return true;
  return [skipsSome, showsTheSame, miscountsDays].some((reason) => reason(calendar, question, theirs.seconds ?? []));
}

function skipsSome(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const fields = [calendar.days, calendar.hours, calendar.minutes, calendar.seconds];
  const hasOpenStep = fields.some((spans) => spans?.some(({ stop, step }) => stop === null && step > 0));
  const ours = new Set(instantsOf(calendar, question, ITERATIONS * 500));
  return hasOpenStep && theirs.every((second) => ours.has(second));
}

function showsTheSame(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const shown = (second: number): number => second + offsetAt(calendar.zone ?? question.zone, second);
  const ours = instantsOf(calendar, question, ITERATIONS);
  return (
    theirs.length === ours.length && ours.every((second, index) => shown(second) === shown(theirs[index] ?? Number.NaN))
  );
}

function miscountsDays(calendar: Calendar, question: Question, theirs: number[]): boolean {
  const zone = calendar.zone ?? question.zone;
  const week = 7 * DAY;
  const isFarFromChange = (second: number): boolean => offsetAt(zone, second - week) === offsetAt(zone, second + week);
  const ours = instantsOf(calendar, question, ITERATIONS * 2).filter((second) => second <= (theirs.at(-1) ?? 0));
  return calendar.fromMonthEnd && String(theirs.filter(isFarFromChange)) === String(ours.filter(isFarFromChange));
}

function answer(calendar: Calendar, question: Question): Opinion {
  return { normalized: calendar.normalized, seconds: instantsOf(calendar, question, ITERATIONS) };
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

function generateQuestions(count: number, seed: number): Question[] {
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
  const question = fc.tuple(texts, places).map(([text, place]) => ({ expression: text, ...place }));
  return fc.sample(question, { numRuns: count, seed });
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

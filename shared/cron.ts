import { Cron as Croner } from "croner";
import type { Civil } from "./calendar-search.ts";
import { type CronField, printField, readField } from "./cron-fields.ts";
import { type Parsed, toParsed } from "./parse.ts";

/** A parsed expression of cron's five fields. */
export interface Cron {
  readonly kind: "cron";
  /** Numbers instead of names, sorted, no duplicates: two expressions are equal when these are. */
  readonly normalized: string;
  /** Cron names no zone: the binding's or the host's applies. */
  readonly zone: null;
  readonly pattern: Croner;
}

const SECOND = 1_000_000;
const DAY_MS = 86_400_000;
const END_OF_2199 = Date.UTC(2200, 0) / DAY_MS;

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const FIELDS: readonly CronField[] = [
  { name: "a minute", from: 0, to: 59, names: [] },
  { name: "an hour", from: 0, to: 23, names: [] },
  { name: "a day", from: 1, to: 31, names: [] },
  { name: "a month", from: 1, to: 12, names: ["", ...MONTHS] },
  { name: "a weekday", from: 0, to: 7, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/**
 * Whether a text is a cron expression: five words, the first without a letter. No systemd expression has five words.
 */
export function looksLikeCron(text: string): boolean {
  return /^[\d*,/-]+(?:[ \t]+[\w*,/#?-]+){4}$/.test(text);
}

/**
 * Parses minute, hour, day of the month, month, weekday (0 and 7 are Sunday): lists, ranges, steps and English names.
 */
export function parseCron(text: string): Parsed<Cron> {
  return toParsed(() => {
    const words = [...text.matchAll(/\S+/g)];
    const fields = FIELDS.map((field, index) => {
      const word = words[index];
      return printField(readField(word?.[0] ?? "", word?.index ?? text.length, field), field);
    });
    const normalized = fields.join(" ");
    return { kind: "cron", normalized, zone: null, pattern: new Croner(normalized, OPTIONS) };
  });
}

// Searched in UTC, where the wall clock has no gaps or repetitions: schedule.ts decides what those mean.
const OPTIONS = { mode: "5-part", timezone: "UTC", paused: true } as const;

/** The first matching wall-clock time not before `from`; null when there is none until the end of 2199. */
export function nextCronCivil({ pattern }: Cron, from: Civil): Civil | null {
  const second = from.day * (DAY_MS / 1000) + Math.ceil(from.micros / SECOND);
  const found = pattern.nextRun(new Date((second - 1) * 1000))?.getTime();
  if (found === undefined) return null;
  const day = Math.floor(found / DAY_MS);
  return day < END_OF_2199 ? { day, micros: (found - day * DAY_MS) * 1000 } : null;
}

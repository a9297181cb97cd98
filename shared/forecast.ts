import * as z from "zod";
import { Zone } from "./binding.ts";
import { Instant, instant } from "./ids.ts";
import { parseTimetable, nextInstants } from "./schedule.ts";
import { Schedules } from "./timer-config.ts";

/** Parameters of a schedule forecast. Numbers are text: they come from a query or a command line. */
export const ForecastQuery = z.strictObject({
  expression: Schedules.describe("one or many expressions; repeat it for more"),
  zone: Zone.optional().describe("IANA time zone of expressions that name none; UTC if left out"),
  from: Instant.optional().describe("only what comes after it; now if left out"),
  count: z.coerce.number().int().min(1).max(100).default(5).describe("how many instants"),
});
export type ForecastQuery = z.infer<typeof ForecastQuery>;

export const Forecast = z.strictObject({
  normalized: z.string().describe("the normal form, several joined by '; '"),
  next: z.array(Instant).describe("the next instants in UTC, fewer than asked for when there are no more"),
});
export type Forecast = z.infer<typeof Forecast>;

/** The next times of a schedule, without the delay that each binding adds. */
export function forecast({ expression, zone, from, count }: ForecastQuery, now: number, ownZone: string): Forecast {
  const timetable = parseTimetable(expression);
  if (!timetable.ok) throw new TypeError(timetable.message);
  const after = from === undefined ? now : Date.parse(from);
  return {
    normalized: timetable.value.normalized,
    next: nextInstants(timetable.value, after, zone ?? ownZone, count).map(instant),
  };
}

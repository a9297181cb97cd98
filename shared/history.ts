import * as z from "zod";
import { RunKind } from "./run.ts";

export const Day = z.iso.date({ error: "must be a day like 2026-11-23" });

const count = z.int().min(0);

/** Summary of one kind of run of a binding on one day (UTC), whether the single runs are still stored or not. */
export const HistoryDay = z.strictObject({
  day: Day,
  kind: RunKind,
  succeeded: count,
  warned: count,
  failed: count,
  cancelled: count,
  interrupted: count,
  bytesAdded: count.describe("to the repository"),
});
export type HistoryDay = z.infer<typeof HistoryDay>;

export const HistoryQuery = z.strictObject({
  kind: RunKind.default("backup"),
  before: Day.optional().describe("only older days: `next` of the page before"),
  limit: z.coerce.number().pipe(z.int().min(1).max(500)).default(50).describe("how many days at most"),
});
export type HistoryQuery = z.infer<typeof HistoryQuery>;

export const History = z.object({
  items: z.array(HistoryDay),
  next: Day.nullable().describe("`before` of the next page; null at the end"),
});
export type History = z.infer<typeof History>;

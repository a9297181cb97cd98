import * as z from "zod";
import { Instant, instant } from "../../shared/ids.ts";

/** A run that another program's lock put off. */
export const PutOff = z.strictObject({
  since: Instant,
  times: z.int().min(1),
  againAt: Instant,
});
export type PutOff = z.infer<typeof PutOff>;

const FIRST_MS = 10 * 60_000;
const LONGEST_MS = 4 * 3_600_000;
/** Who holds a lock that long does not work on the repository any more: a person has to look. */
const GIVE_UP_AFTER_MS = 24 * 3_600_000;

/** Put off once more, each time a little longer. @returns null when it has been for a day: then the run has failed */
export function putOffAgain(before: PutOff | null, now: number): PutOff | null {
  const since = before?.since ?? instant(now);
  if (now - Date.parse(since) > GIVE_UP_AFTER_MS) return null;
  const times = (before?.times ?? 0) + 1;
  return { since, times, againAt: instant(now + Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS)) };
}

/** It runs now: while it does, and should this process die, it does not come a second time at once. */
export function whileItRuns(putOff: PutOff, now: number): PutOff {
  return { ...putOff, againAt: instant(now + LONGEST_MS) };
}

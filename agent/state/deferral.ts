import * as z from "zod";
import { Instant, instant } from "../../shared/ids.ts";

/** A run that another program's lock put off. */
export const Deferral = z.strictObject({
  since: Instant,
  times: z.int().min(1),
  againAt: Instant,
});
export type Deferral = z.infer<typeof Deferral>;

const FIRST_MS = 10 * 60_000;
const LONGEST_MS = 4 * 3_600_000;
/** Who holds a lock that long does not work on the repository any more: a person has to look. */
const GIVE_UP_AFTER_MS = 24 * 3_600_000;

/** Put off once more, each time a little longer. @returns null when it has been for a day: then the run has failed */
export function nextDeferral(before: Deferral | null, now: number): Deferral | null {
  const since = before?.since ?? instant(now);
  if (now - Date.parse(since) > GIVE_UP_AFTER_MS) return null;
  const times = (before?.times ?? 0) + 1;
  return { since, times, againAt: instant(now + Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS)) };
}

/** It runs now: while it does, and should this process die, it does not come a second time at once. */
export function extendWhileRunning(deferral: Deferral, now: number): Deferral {
  return { ...deferral, againAt: instant(now + LONGEST_MS) };
}

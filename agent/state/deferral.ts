import * as z from "zod";
import { Instant, instant } from "../../shared/ids.ts";

/** A run that is postponed because another program holds the repository's lock. */
export const Deferral = z.strictObject({
  since: Instant,
  times: z.int().min(1),
  againAt: Instant,
});
export type Deferral = z.infer<typeof Deferral>;

const FIRST_MS = 10 * 60_000;
const LONGEST_MS = 4 * 3_600_000;
/** A lock held that long is stale: a person has to check. */
const GIVE_UP_AFTER_MS = 24 * 3_600_000;

/** The next deferral, each a little longer. @returns null after a day of deferrals: then the run has failed */
export function nextDeferral(before: Deferral | null, now: number): Deferral | null {
  const since = before?.since ?? instant(now);
  if (now - Date.parse(since) > GIVE_UP_AFTER_MS) return null;
  const times = (before?.times ?? 0) + 1;
  return { since, times, againAt: instant(now + Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS)) };
}

/**
 * Pushes the next attempt back while the run is in progress, so that it does not start twice even if this process dies.
 */
export function extendWhileRunning(deferral: Deferral, now: number): Deferral {
  return { ...deferral, againAt: instant(now + LONGEST_MS) };
}

import type { QuietHours } from "./channel.ts";
import { offsetAt, instantsShowing } from "./time-zone.ts";

const DAY = 86_400;

/**
 * The end of the quiet hours, by the zone's clocks: where these go back over the end, it is quiet a second time.
 * @param now milliseconds since 1970
 * @returns milliseconds since 1970; null: it is not quiet now
 */
export function quietUntil({ from, to, zone }: QuietHours, now: number): number | null {
  const second = Math.floor(now / 1000);
  const shown = second + offsetAt(zone, second);
  const midnight = shown - (shown % DAY);
  const [begin, end, time] = [secondsOf(from), secondsOf(to), shown - midnight];
  const isQuiet = begin < end ? begin <= time && time < end : begin <= time || time < end;
  if (!isQuiet) return null;
  const day = time < end ? midnight : midnight + DAY;
  return (showingAfter(zone, day + end, second) ?? day + end - offsetAt(zone, second)) * 1000;
}

/** @returns the first instant after `second` at which the clocks show at least that time; null when they never do */
function showingAfter(zone: string, civil: number, second: number): number | null {
  const { instants, jump } = instantsShowing(zone, civil);
  const next = instants.find((each) => each > second);
  if (next !== undefined || jump <= 0) return next ?? null;
  // The clocks skip it: then it is the moment at which they jump, between the results for the one offset and the other.
  let [before, after] = [civil - offsetAt(zone, civil + DAY), civil - offsetAt(zone, civil - DAY)];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (middle + offsetAt(zone, middle) < civil) before = middle;
    else after = middle;
  }
  return after;
}

function secondsOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(":").map(Number);
  return hours * 3600 + minutes * 60;
}

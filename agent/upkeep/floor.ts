import { offsetAt } from "../../shared/time-zone.ts";
import type { MadeSnapshot } from "../state/made-snapshots.ts";
import type { Policy } from "../policy/policy.ts";
import type { Held } from "./coverage.ts";

interface FloorInput {
  /** In the order they were made. */
  readonly made: readonly MadeSnapshot[];
  readonly keep: Policy["keep"];
  readonly hostZone: string;
}

/**
 * What no retention and no order removes of a group, by id, with the reason. Only good snapshots that this host made
 * count, in the order it made them: neither a repository nor a clock that is set changes that.
 */
export function floorReasons(
  { made, keep, hostZone }: FloorInput,
  group: readonly Pick<Held, "id">[],
): ReadonlyMap<string, string> {
  const listed = new Set(group.map(({ id }) => id));
  const reasons = new Map<string, string>();
  let [days, laterDay] = [0, ""];
  for (const [index, { id, at }] of made
    .filter((one) => listed.has(one.id))
    .toReversed()
    .entries()) {
    const day = dayOf(at, hostZone);
    const isLast = day !== laterDay;
    if (isLast) days++;
    laterDay = day;
    if (index < keep.snapshots) reasons.set(id, `floor: ${keep.snapshots} newest good`);
    else if (isLast && days <= keep.days) reasons.set(id, `floor: last good of ${day}`);
  }
  return reasons;
}

/** The day that the zone's clocks show. */
function dayOf(at: string, zone: string): string {
  const ms = Date.parse(at);
  return new Date(ms + offsetAt(zone, Math.floor(ms / 1000)) * 1000).toISOString().slice(0, 10);
}

import { sql, type SQL } from "drizzle-orm";
import { CLOCK_WRONG_MS } from "../../shared/clock-skew.ts";
import { uuidv7, type Id } from "../../shared/ids.ts";
import { runs } from "../db/schema/runs.ts";
import type { Deps } from "../deps.ts";

const lastMade = new WeakMap<Deps["clock"], number>();

/** A new id, greater than every one made here before: two of one millisecond still list in the order they were made. */
export function newId({ clock, random }: Pick<Deps, "clock" | "random">): Id {
  const moment = Math.max(clock.now(), (lastMade.get(clock) ?? 0) + 1);
  lastMade.set(clock, moment);
  return uuidv7(moment, random(10));
}

/** Runs that a host whose clock was ahead made for a day that is not here yet are nobody's newest. */
export function isNotAhead(deps: Pick<Deps, "clock">): SQL {
  return sql`${runs.id} < ${firstFutureId(deps)}`;
}

/** Ids from this one on were made by a clock that is, or was, ahead. */
export function firstFutureId({ clock }: Pick<Deps, "clock">): Id {
  return uuidv7(clock.now() + CLOCK_WRONG_MS, new Uint8Array(10));
}

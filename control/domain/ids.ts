import { CLOCK_WRONG_MS } from "../../shared/clock-skew.ts";
import { uuidv7, type Id } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";

const lastIdMs = new WeakMap<Deps["clock"], number>();

/** A new id, greater than every earlier one of this process: ids of one millisecond sort in the order of creation. */
export function newId({ clock, random }: Pick<Deps, "clock" | "random">): Id {
  const ms = Math.max(clock.now(), (lastIdMs.get(clock) ?? 0) + 1);
  lastIdMs.set(clock, ms);
  return uuidv7(ms, random(10));
}

/** Ids from this one on come from a clock that is or was ahead. */
export function firstFutureId({ clock }: Pick<Deps, "clock">): Id {
  return uuidv7(clock.now() + CLOCK_WRONG_MS, new Uint8Array(10));
}

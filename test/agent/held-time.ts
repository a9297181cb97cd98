import { setImmediate } from "node:timers/promises";
import type { Timers } from "../../agent/system/timers.ts";

/** A clock that stands until a test moves it, and timers that go by it. */
export interface HeldTime {
  clock: { now(): number };
  timers: Timers;
  /** Moves clock and timers on together, timer by timer. */
  advance(milliseconds: number): Promise<void>;
  /** Moves the wall clock alone, as sleep and `date --set` do: timers do not notice. */
  jump(milliseconds: number): void;
  /** How long until each timer that is set, shortest first. */
  pending(): number[];
}

export function holdTime(start = Date.parse("2026-11-23T08:00:00.000Z")): HeldTime {
  let wall = start;
  let elapsed = 0;
  const waiting = new Set<{ at: number; fire: () => void }>();
  const earliest = (until: number) =>
    [...waiting].filter(({ at }) => at <= until).toSorted((one, other) => one.at - other.at)[0];
  const moveTo = (at: number): void => {
    wall += at - elapsed;
    elapsed = at;
  };
  return {
    clock: { now: () => wall },
    timers: {
      after(milliseconds, fire) {
        const timer = { at: elapsed + milliseconds, fire };
        waiting.add(timer);
        return () => void waiting.delete(timer);
      },
    },
    async advance(milliseconds) {
      const until = elapsed + milliseconds;
      for (let timer = earliest(until); timer !== undefined; timer = earliest(until)) {
        waiting.delete(timer);
        moveTo(timer.at);
        timer.fire();
        await setImmediate();
      }
      moveTo(until);
    },
    jump(milliseconds) {
      wall += milliseconds;
    },
    pending: () => [...waiting].map(({ at }) => at - elapsed).toSorted((one, other) => one - other),
  };
}

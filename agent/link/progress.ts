import type { Id } from "../../shared/ids.ts";
import type { Progress } from "../../shared/run.ts";
import type { Timers } from "../system/timers.ts";

const ONCE_IN_MS = 1_000;

/** Lets the first progress of a run through at once, then at most one a second, always the latest. */
export function throttleProgress(
  timers: Timers,
  deliver: (run: Id, progress: Progress) => void,
): { send: (run: Id, progress: Progress) => void; stop: () => void } {
  const held = new Map<Id, { latest: Progress | null; takeBack: () => void }>();

  const deliverAndHold = (run: Id, progress: Progress): void => {
    deliver(run, progress);
    const takeBack = timers.after(ONCE_IN_MS, () => {
      const latest = held.get(run)?.latest ?? null;
      held.delete(run);
      if (latest !== null) deliverAndHold(run, latest);
    });
    held.set(run, { latest: null, takeBack });
  };
  return {
    send(run, progress) {
      const now = held.get(run);
      if (now === undefined) deliverAndHold(run, progress);
      else now.latest = progress;
    },
    stop() {
      for (const { takeBack } of held.values()) takeBack();
      held.clear();
    },
  };
}

import type { Id } from "../../shared/ids.ts";
import type { Progress } from "../../shared/run.ts";
import type { Timers } from "../system/timers.ts";

const ONCE_IN_MS = 1_000;

/** Delivers the first progress of a run at once, then the latest at most once a second. */
export function throttleProgress(
  timers: Timers,
  deliver: (run: Id, progress: Progress) => void,
): { send: (run: Id, progress: Progress) => void; stop: () => void } {
  const held = new Map<Id, { latest: Progress | null; cancel: () => void }>();

  const deliverAndPause = (run: Id, progress: Progress): void => {
    deliver(run, progress);
    const cancel = timers.after(ONCE_IN_MS, () => {
      const latest = held.get(run)?.latest ?? null;
      held.delete(run);
      if (latest !== null) deliverAndPause(run, latest);
    });
    held.set(run, { latest: null, cancel });
  };
  return {
    send(run, progress) {
      const now = held.get(run);
      if (now === undefined) deliverAndPause(run, progress);
      else now.latest = progress;
    },
    stop() {
      for (const { cancel } of held.values()) cancel();
      held.clear();
    },
  };
}

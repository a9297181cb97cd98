import type { Deps } from "../../deps.ts";
import { beat, type Heartbeat } from "../../heartbeat.ts";
import { emptyOutbox, sweep } from "../../tick.ts";

const SWEEP_EVERY_MS = 30_000;
const AFTER_TROUBLE_MS = 5_000;
const LONGEST_TIMER_MS = 3_600_000;

export interface Timers {
  /** Looks into the outbox now. */
  wakeOutbox(): void;
  /** No timer goes off any more. @returns once what one had begun is over */
  stop(): Promise<void>;
}

/** Does in one process what a cron trigger and alarms do elsewhere: the sweep, and each delivery when it is due. */
export function startTimers(
  deps: Deps,
  { heartbeat, sweepEveryMs = SWEEP_EVERY_MS }: { heartbeat: Heartbeat | null; sweepEveryMs?: number },
): Timers {
  let stopped = false;
  let due: NodeJS.Timeout | undefined;
  let sending: Promise<void> | null = null;
  let woken = false;
  let sweeping: Promise<void> | null = null;

  const send = async (): Promise<void> => {
    let next: number | null = null;
    do {
      woken = false;
      next = await emptyOutbox(deps).catch((error: unknown) => {
        deps.log.error("the outbox could not be emptied", { error: String(error) });
        return deps.clock.now() + AFTER_TROUBLE_MS;
      });
    } while (woken && !stopped);
    sending = null;
    if (next !== null && !stopped) {
      due = setTimeout(wakeOutbox, Math.min(Math.max(next - deps.clock.now(), 0), LONGEST_TIMER_MS)).unref();
    }
  };
  const wakeOutbox = (): void => {
    if (stopped) return;
    clearTimeout(due);
    woken = true;
    sending ??= send();
  };
  // Its own way, so that receivers that are slow to answer do not hold up what notices that a backup is late.
  const look = async (): Promise<void> => {
    try {
      await sweep(deps);
      wakeOutbox();
      await beat(deps, heartbeat);
    } catch (error) {
      deps.log.error("the sweep failed", { error: String(error) });
    }
    sweeping = null;
  };
  const lookNow = (): void => void (sweeping ??= look());
  const looking = setInterval(lookNow, sweepEveryMs).unref();

  wakeOutbox();
  return {
    wakeOutbox,
    stop: async () => {
      stopped = true;
      clearTimeout(due);
      clearInterval(looking);
      await Promise.all([sending, sweeping]);
    },
  };
}

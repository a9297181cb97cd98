import type { Deps } from "../../deps.ts";
import { sendHeartbeat, type Heartbeat } from "../../heartbeat.ts";
import { sendDue, sweep } from "../../tick.ts";

const SWEEP_EVERY_MS = 30_000;
const RETRY_AFTER_MS = 5_000;
const MAX_TIMER_MS = 3_600_000;

export interface Timers {
  /** Sends what is due now. */
  wakeOutbox(): void;
  /** Stops all timers. @returns when running work has finished */
  stop(): Promise<void>;
}

/** Runs the sweep periodically, and sends each delivery when it is due. A cron trigger does this on Workers. */
export function startTimers(
  deps: Deps,
  { heartbeat, sweepEveryMs = SWEEP_EVERY_MS }: { heartbeat: Heartbeat | null; sweepEveryMs?: number },
): Timers {
  let stopped = false;
  let due: NodeJS.Timeout | undefined;
  let sending: Promise<void> | null = null;
  let isWakeRequested = false;
  let sweeping: Promise<void> | null = null;

  const send = async (): Promise<void> => {
    let next: number | null = null;
    do {
      isWakeRequested = false;
      next = await sendDue(deps).catch((error: unknown) => {
        deps.log.error("sending notifications failed", { error: String(error) });
        return deps.clock.now() + RETRY_AFTER_MS;
      });
    } while (isWakeRequested && !stopped);
    sending = null;
    if (next !== null && !stopped) {
      due = setTimeout(wakeOutbox, Math.min(Math.max(next - deps.clock.now(), 0), MAX_TIMER_MS)).unref();
    }
  };
  const wakeOutbox = (): void => {
    if (stopped) return;
    clearTimeout(due);
    isWakeRequested = true;
    sending ??= send();
  };
  // Separate from sending, so that slow receivers do not delay the sweep.
  const runSweep = async (): Promise<void> => {
    try {
      const { isOutboxDue } = await sweep(deps, sending === null);
      if (isOutboxDue) wakeOutbox();
      await sendHeartbeat(deps, heartbeat);
    } catch (error) {
      deps.log.error("the sweep failed", { error: String(error) });
    }
    sweeping = null;
  };
  const sweepNow = (): void => void (sweeping ??= runSweep());
  const sweepTimer = setInterval(sweepNow, sweepEveryMs).unref();

  wakeOutbox();
  return {
    wakeOutbox,
    stop: async () => {
      stopped = true;
      clearTimeout(due);
      clearInterval(sweepTimer);
      await Promise.all([sending, sweeping]);
    },
  };
}

/** Smaller offsets are network delay. */
const MIN_OFFSET_MS = 2_000;

/** How far the control plane's clock is ahead of this host's. */
export interface ClockOffset {
  /**
   * @param date the `Date` header of an answer that has just arrived.
   * @param sentAt when the request was sent, by this host's clock
   */
  update(date: string | null, sentAt: number): void;
  /** In milliseconds, as far as it is known; 0 below two seconds. */
  now(): number;
}

/**
 * Measured with each answer. In between, a change of this host's clock is noticed by comparing it with the uptime: it
 * counts also while the control plane is away.
 */
export function openClockOffset({ clock, uptime }: { clock: { now(): number }; uptime?: () => number }): ClockOffset {
  let offset = 0;
  let bootAtUpdate: number | null = null;
  /** Boot time by the clock as it is set now: it moves when the clock is set. */
  const startedAt = (): number | null => (uptime === undefined ? null : clock.now() - uptime());
  return {
    update(date, sentAt) {
      const at = date === null ? Number.NaN : Date.parse(date);
      if (Number.isNaN(at)) return;
      // The header has whole seconds: on average it is half a second behind.
      offset = at + 500 - (sentAt + clock.now()) / 2;
      bootAtUpdate = startedAt();
    },
    now() {
      const started = startedAt();
      const setBy = bootAtUpdate === null || started === null ? 0 : started - bootAtUpdate;
      const known = offset - (Math.abs(setBy) < MIN_OFFSET_MS ? 0 : setBy);
      return Math.abs(known) < MIN_OFFSET_MS ? 0 : known;
    },
  };
}

/** Below this it is the network's doing. */
const MIN_OFFSET_MS = 2_000;

/** How far the control plane's clock is ahead of this host's. */
export interface ClockOffset {
  /** @param date the `Date` header of an answer that came just now. @param sentAt when it was asked for */
  update(date: string | null, sentAt: number): void;
  /** In milliseconds, as far as it is known; 0 below two seconds. */
  now(): number;
}

/**
 * Learns from each answer, and between them from the time the machine itself has counted: with the control plane away, a clock that was
 * set is wrong all the same.
 */
export function openClockOffset({ clock, uptime }: { clock: { now(): number }; uptime?: () => number }): ClockOffset {
  let offset = 0;
  let bootAtUpdate: number | null = null;
  /** When the machine was started, by the clock as it is set now: it moves when that is set. */
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

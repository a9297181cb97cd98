const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/** How long to wait before the next attempt: 1 s, doubled up to 60 s, each shortened by chance to spread many hosts. */
export interface Backoff {
  next(): number;
  /** The longest wait at once: for when trying again soon would do harm. */
  longest(): number;
  /** The last attempt was good for long enough. */
  reset(): void;
}

/** @param random 0 to 1: nothing of the wait is taken off at 1, half of it at 0 */
export function openBackoff(random: () => number): Backoff {
  let attempts = 0;
  const spread = (milliseconds: number): number => milliseconds * (0.5 + random() / 2);
  return {
    next: () => spread(Math.min(LONGEST_MS, FIRST_MS * 2 ** attempts++)),
    longest: () => spread(LONGEST_MS),
    reset() {
      attempts = 0;
    },
  };
}

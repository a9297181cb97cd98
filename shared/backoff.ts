/** The shares of a wait between which it is drawn by chance: many hosts must not come at the same moment. */
export interface Jitter {
  readonly least: number;
  readonly most: number;
}

/** A wait that is its full length at the most. */
const UP_TO_FULL: Jitter = { least: 0.5, most: 1 };

/** A wait that is its full length on average. */
export const PLUS_MINUS_TENTH: Jitter = { least: 0.9, most: 1.1 };

/** @param random gives 0 to 1, as Math.random does */
export function withJitter(milliseconds: number, random: () => number, { least, most }: Jitter): number {
  return milliseconds * (least + random() * (most - least));
}

/** How long to wait before the next attempt: twice as long each time, up to a longest wait, with jitter. */
export interface Backoff {
  next(): number;
  /** The longest wait at once: for when trying again soon would do harm. */
  longest(): number;
  /** Begins with the first wait again: the last attempt was good for long enough. */
  reset(): void;
}

export function createBackoff({
  firstMs,
  longestMs,
  random,
  jitter = UP_TO_FULL,
}: {
  firstMs: number;
  longestMs: number;
  random: () => number;
  jitter?: Jitter;
}): Backoff {
  let attempts = 0;
  return {
    next: () => withJitter(Math.min(longestMs, firstMs * 2 ** attempts++), random, jitter),
    longest: () => withJitter(longestMs, random, jitter),
    reset() {
      attempts = 0;
    },
  };
}

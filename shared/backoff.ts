/** Range of a random factor for a wait, so that many hosts do not retry at the same moment. */
export interface Jitter {
  readonly least: number;
  readonly most: number;
}

/** Half to the full wait. */
const UP_TO_FULL: Jitter = { least: 0.5, most: 1 };

/** The full wait on average. */
export const PLUS_MINUS_TENTH: Jitter = { least: 0.9, most: 1.1 };

/** @param random gives 0 to 1, as Math.random does */
export function withJitter(milliseconds: number, random: () => number, { least, most }: Jitter): number {
  return milliseconds * (least + random() * (most - least));
}

/** How long to wait before the next attempt, in ms: doubled each time up to a limit, with jitter. */
export interface Backoff {
  next(): number;
  /** The longest wait at once, for when an early retry would do harm. */
  longest(): number;
  /** Starts with the first wait again. Called when a connection has been stable. */
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

/** Timers as a value, so that a test can control them. */
export interface Timers {
  /** Calls `then` once, after that many milliseconds. @returns cancels it */
  after(milliseconds: number, then: () => void): () => void;
}

export const realTimers: Timers = {
  after(milliseconds, then) {
    const timer = setTimeout(then, milliseconds);
    return () => clearTimeout(timer);
  },
};

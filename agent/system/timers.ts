/** Timers as a value, so that a test can hold them. */
export interface Timers {
  /** Calls `then` once, after that many milliseconds. @returns takes it back */
  after(milliseconds: number, then: () => void): () => void;
}

export const realTimers: Timers = {
  after(milliseconds, then) {
    const timer = setTimeout(then, milliseconds);
    return () => clearTimeout(timer);
  },
};

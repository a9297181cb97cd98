import type { Id } from "../../shared/ids.ts";

/** A run to execute. `start` never rejects; if the signal is aborted, the run is reported as cancelled. */
export interface Job {
  run: Id;
  /** The binding, or the repository as a whole: never two runs of one at once. */
  subject: Id;
  start: (signal: AbortSignal) => Promise<void>;
}

/** Runs in progress and queued: one per binding or repository, a few per host, first come first served. */
export interface Queue {
  add(job: Job): void;
  has(run: Id): boolean;
  /** Cancels a queued or running job. @returns false when it is not here */
  cancel(run: Id): boolean;
  /** Accepts nothing more, drops queued jobs and cancels running ones. Resolves when all have ended. */
  drain(): Promise<void>;
}

interface RunningJob {
  job: Job;
  abort: AbortController;
  ended: Promise<void>;
}

/** @param limit how many jobs may run at once */
export function openQueue(limit: number): Queue {
  const running = new Map<Id, RunningJob>();
  let waiting: Job[] = [];
  let isDraining = false;

  const start = (job: Job, abort = new AbortController()): void => {
    const ended = job.start(abort.signal).finally(() => {
      running.delete(job.run);
      startNext();
    });
    running.set(job.run, { job, abort, ended });
  };
  const isBusy = (subject: Id): boolean => [...running.values()].some(({ job }) => job.subject === subject);
  const startNext = (): void => {
    for (const job of waiting.slice()) {
      if (isDraining || running.size >= limit) return;
      if (isBusy(job.subject)) continue;
      waiting = waiting.filter((other) => other !== job);
      start(job);
    }
  };

  return {
    add(job) {
      if (isDraining) return;
      waiting.push(job);
      startNext();
    },
    has: (run) => running.has(run) || waiting.some((job) => job.run === run),
    cancel(run) {
      const now = running.get(run);
      now?.abort.abort();
      if (now !== undefined) return true;
      const job = waiting.find((other) => other.run === run);
      if (job === undefined) return false;
      waiting = waiting.filter((other) => other !== job);
      const aborted = new AbortController();
      aborted.abort();
      start(job, aborted);
      return true;
    },
    async drain() {
      isDraining = true;
      waiting = [];
      for (const { abort } of running.values()) abort.abort();
      await Promise.allSettled([...running.values()].map(({ ended }) => ended));
    },
  };
}

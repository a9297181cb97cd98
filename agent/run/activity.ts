import { readFileSync } from "node:fs";
import { instant } from "../../shared/ids.ts";
import type { Progress } from "../../shared/run.ts";
import { listProcesses, type ProcessRef } from "../system/process/process-ref.ts";

/** Says of one run that it gets on, also while its engine has nothing to count: in hooks, in a prune, at the end of a dump. */
export interface ActivityMonitor {
  /** What the engine counts. */
  progress(progress: Progress): void;
  /** A child of the run has begun: what it and its own children do from now on is the run's work. */
  addProcess(addProcess: ProcessRef): void;
  /** To wait for another run is to get on: that one has a pulse of its own. */
  whileWaiting<T>(wait: Promise<T>): Promise<T>;
  stop(): void;
}

const SAMPLE_EVERY_MS = 60_000;
/** In a minute. Engines that hang write their status lines all the same: so little is no work. */
const LEAST_TICKS = 100;
const LEAST_BYTES = 65_536;

/**
 * Looks once a minute what the run's processes have computed, read and written, and tells its latest progress with how often there was
 * something (`worked`). Told every minute, changed or not: what no longer changes is stuck, what is no longer told may be cut off.
 */
export function startActivityMonitor(
  clock: { now(): number },
  report: (progress: Progress) => void,
  lookEveryMs = SAMPLE_EVERY_MS,
): ActivityMonitor {
  const leaders = new Set<number>();
  let latest: Omit<Progress, "at" | "worked"> = { fraction: 0 };
  let worked = 0;
  let waits = 0;
  let before: WorkByProcess = new Map();
  const sendProgress = (): void => report({ ...latest, worked, at: instant(clock.now()) });
  const sample = (): void => {
    const now = leaders.size === 0 ? new Map() : measureWork(leaders);
    if (waits > 0 || hasWorked(before, now)) worked++;
    before = now;
    sendProgress();
  };
  const timer = setInterval(sample, lookEveryMs).unref();
  return {
    progress({ at: _at, ...counted }) {
      latest = counted;
      sendProgress();
    },
    addProcess: ({ pid }) => void leaders.add(pid),
    async whileWaiting(wait) {
      waits++;
      try {
        return await wait;
      } finally {
        waits--;
      }
    },
    stop: () => clearInterval(timer),
  };
}

/** By process, with the children it has collected: processor time in ticks, and the bytes that were read and written. */
type WorkByProcess = Map<number, { ticks: number; bytes: number }>;

/** Children are begun in sessions of their own. */
function measureWork(leaders: ReadonlySet<number>): WorkByProcess {
  const ours = listProcesses().filter(({ session }) => leaders.has(session));
  return new Map(ours.map(({ pid, ticks }) => [pid, { ticks, bytes: readIoBytes(pid) }]));
}

function hasWorked(before: WorkByProcess, now: WorkByProcess): boolean {
  return [...now].some(([pid, { ticks, bytes }]) => {
    const old = before.get(pid) ?? { ticks: 0, bytes: 0 };
    return ticks - old.ticks >= LEAST_TICKS || bytes - old.bytes >= LEAST_BYTES;
  });
}

function readIoBytes(pid: number): number {
  try {
    const io = readFileSync(`/proc/${pid}/io`, "utf8");
    const counts = [...io.matchAll(/^[rw]char: (\d+)$/gm)].map(([, count]) => Number(count));
    return counts.reduce((sum, count) => sum + count, 0);
  } catch {
    // It is gone, or another user's and we are not root: its processor time has to do.
    return 0;
  }
}

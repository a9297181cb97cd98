import { readFileSync } from "node:fs";
import { instant } from "../../shared/ids.ts";
import type { Progress } from "../../shared/run.ts";
import { livingProcesses, type ProcessMark } from "../system/process/mark.ts";

/** Says of one run that it gets on, also while its engine has nothing to count: in hooks, in a prune, at the end of a dump. */
export interface Pulse {
  /** What the engine counts. */
  progress(progress: Progress): void;
  /** A child of the run has begun: what it and its own children do from now on is the run's work. */
  child(child: ProcessMark): void;
  /** To wait for another run is to get on: that one has a pulse of its own. */
  during<T>(wait: Promise<T>): Promise<T>;
  stop(): void;
}

const LOOK_EVERY_MS = 60_000;
/** In a minute. Engines that hang write their status lines all the same: so little is no work. */
const LEAST_TICKS = 100;
const LEAST_BYTES = 65_536;

/**
 * Looks once a minute what the run's processes have computed, read and written, and tells its latest progress with how often there was
 * something (`worked`). Told every minute, changed or not: what no longer changes is stuck, what is no longer told may be cut off.
 */
export function startPulse(
  clock: { now(): number },
  tell: (progress: Progress) => void,
  lookEveryMs = LOOK_EVERY_MS,
): Pulse {
  const leaders = new Set<number>();
  let latest: Omit<Progress, "at" | "worked"> = { fraction: 0 };
  let worked = 0;
  let waits = 0;
  let before: Work = new Map();
  const say = (): void => tell({ ...latest, worked, at: instant(clock.now()) });
  const look = (): void => {
    const now = leaders.size === 0 ? new Map() : workOf(leaders);
    if (waits > 0 || hasWorked(before, now)) worked++;
    before = now;
    say();
  };
  const timer = setInterval(look, lookEveryMs).unref();
  return {
    progress({ at: _at, ...counted }) {
      latest = counted;
      say();
    },
    child: ({ pid }) => void leaders.add(pid),
    async during(wait) {
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
type Work = Map<number, { ticks: number; bytes: number }>;

/** Children are begun in sessions of their own. */
function workOf(leaders: ReadonlySet<number>): Work {
  const ours = livingProcesses().filter(({ session }) => leaders.has(session));
  return new Map(ours.map(({ pid, ticks }) => [pid, { ticks, bytes: bytesOf(pid) }]));
}

function hasWorked(before: Work, now: Work): boolean {
  return [...now].some(([pid, { ticks, bytes }]) => {
    const old = before.get(pid) ?? { ticks: 0, bytes: 0 };
    return ticks - old.ticks >= LEAST_TICKS || bytes - old.bytes >= LEAST_BYTES;
  });
}

function bytesOf(pid: number): number {
  try {
    const io = readFileSync(`/proc/${pid}/io`, "utf8");
    const counts = [...io.matchAll(/^[rw]char: (\d+)$/gm)].map(([, count]) => Number(count));
    return counts.reduce((sum, count) => sum + count, 0);
  } catch {
    // It is gone, or another user's and we are not root: its processor time has to do.
    return 0;
  }
}

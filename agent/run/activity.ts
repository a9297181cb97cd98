import { readFileSync } from "node:fs";
import { instant } from "../../shared/ids.ts";
import type { Progress } from "../../shared/run.ts";
import { listProcesses, type ProcessRef } from "../system/process/process-ref.ts";

/**
 * Reports that a run makes progress, also while its engine counts nothing: in hooks, in a prune, at the end of a dump.
 */
export interface ActivityMonitor {
  /** Reports progress as counted by the engine. */
  progress(progress: Progress): void;
  /** Called when a child of the run has started: its activity, and that of its own children, counts from now on. */
  addProcess(addProcess: ProcessRef): void;
  /** Waiting for another run counts as activity: that run is monitored itself. */
  whileWaiting<T>(wait: Promise<T>): Promise<T>;
  stop(): void;
}

const SAMPLE_EVERY_MS = 60_000;
/** Per minute. Less does not count as work: a hanging engine still writes status lines. */
const LEAST_TICKS = 100;
const LEAST_BYTES = 65_536;

/**
 * Measures once a minute how much CPU and I/O the run's processes have used, and reports the latest progress with the
 * number of minutes that had any (`worked`). Sent every minute even when unchanged: no change means stuck, no message
 * may mean a lost connection.
 */
export function startActivityMonitor(
  clock: { now(): number },
  report: (progress: Progress) => void,
  sampleEveryMs = SAMPLE_EVERY_MS,
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
  const timer = setInterval(sample, sampleEveryMs).unref();
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

/** By process, with its reaped children: CPU time in ticks, and bytes read and written. */
type WorkByProcess = Map<number, { ticks: number; bytes: number }>;

/** Each child of the run is started in its own session. */
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
    // The process is gone, or belongs to another user and we are not root: its CPU time has to do.
    return 0;
  }
}

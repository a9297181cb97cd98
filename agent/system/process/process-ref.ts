import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";

/**
 * One process, told apart from a later one with the same pid: `startTicks` is its start time as /proc counts it, and
 * the boot it happened in.
 */
export const ProcessRef = z.object({ pid: z.int(), startTicks: z.string() });
export type ProcessRef = z.infer<typeof ProcessRef>;

/** @returns null when there is no such process (a zombie counts as none) */
export function processRefOf(pid: number): ProcessRef | null {
  const status = statusOf(pid);
  return status === null ? null : { pid, startTicks: `${status.startTicks}@${bootId()}` };
}

/** The mark of the process that asks. */
export function ownProcessRef(): ProcessRef {
  return processRefOf(process.pid) ?? { pid: process.pid, startTicks: "unknown" };
}

export function isAlive(mark: ProcessRef): boolean {
  return processRefOf(mark.pid)?.startTicks === mark.startTicks;
}

const REAPED_WITHIN_MS = 10_000;

/**
 * Waits until a dead process has left the process table: engines take one that its parent has not collected yet for
 * alive, and leave its lock. An orphan is collected by init, and some look only every few seconds.
 */
export async function untilReaped({ pid }: ProcessRef): Promise<void> {
  const end = performance.now() + REAPED_WITHIN_MS;
  while (existsSync(`/proc/${pid}`) && performance.now() < end) await delay(100);
}

/** A living process as /proc shows it. */
export interface ProcessStatus {
  readonly pid: number;
  readonly group: number;
  readonly session: number;
  readonly startTicks: string;
  /** Processor time that it has used, with the children it has collected. */
  readonly ticks: number;
}

/** The processes that are alive now; zombies, which nobody may ever collect in a container, are not. */
export function listProcesses(): ProcessStatus[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => statusOf(Number(pid))).filter((status) => status !== null);
}

function statusOf(pid: number): ProcessStatus | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The second field is the program's name in brackets and may hold spaces and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, , group, session] = fields;
  const startTicks = fields[19];
  if (startTicks === undefined || state === "Z" || state === "X") return null;
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return { pid, group: Number(group), session: Number(session), startTicks, ticks };
}

let boot: string | undefined;

function bootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().slice(0, 8);
  return boot;
}

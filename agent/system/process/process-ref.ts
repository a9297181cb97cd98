import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";

/**
 * One process, told apart from a later one with the same pid: `startTicks` is its start time as /proc counts it, with
 * the boot it belongs to.
 */
export const ProcessRef = z.object({ pid: z.int(), startTicks: z.string() });
export type ProcessRef = z.infer<typeof ProcessRef>;

/** @returns null when there is no such process (a zombie counts as none) */
export function processRefOf(pid: number): ProcessRef | null {
  const status = statusOf(pid);
  return status === null ? null : { pid, startTicks: `${status.startTicks}@${bootId()}` };
}

/** The reference of this process. */
export function ownProcessRef(): ProcessRef {
  return processRefOf(process.pid) ?? { pid: process.pid, startTicks: "unknown" };
}

export function isAlive(ref: ProcessRef): boolean {
  return processRefOf(ref.pid)?.startTicks === ref.startTicks;
}

const REAPED_WITHIN_MS = 10_000;

/**
 * Waits until a dead process is reaped: engines take a zombie for alive, and leave its lock. Orphans are reaped by
 * init, and some inits do so only every few seconds.
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
  /** CPU time it has used, with that of its reaped children. */
  readonly ticks: number;
}

/** The processes that are alive now. Zombies are left out: in a container, nothing may ever reap them. */
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

/** A name for the time since the machine was started. */
export function bootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().slice(0, 8);
  return boot;
}

import { readFileSync } from "node:fs";
import * as z from "zod";

/**
 * One process, told apart from a later one with the same pid: `startTicks` is its start time as /proc counts it, and
 * the boot it happened in.
 */
export const ProcessMark = z.object({ pid: z.int(), startTicks: z.string() });
export type ProcessMark = z.infer<typeof ProcessMark>;

/** @returns null when there is no such process (a zombie counts as none) */
export function markOf(pid: number): ProcessMark | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The second field is the program's name in brackets and may hold spaces and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, ticks] = [fields[0], fields[19]];
  return ticks === undefined || state === "Z" || state === "X" ? null : { pid, startTicks: `${ticks}@${bootId()}` };
}

/** The mark of the process that asks. */
export function ownMark(): ProcessMark {
  return markOf(process.pid) ?? { pid: process.pid, startTicks: "unknown" };
}

export function isAlive(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.startTicks === mark.startTicks;
}

let boot: string | undefined;

function bootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().slice(0, 8);
  return boot;
}

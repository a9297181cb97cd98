import { setTimeout as delay } from "node:timers/promises";
import { listProcesses } from "./process-ref.ts";

/** How a child is stopped: SIGINT, later SIGTERM, in the end SIGKILL to its group. */
export interface KillLadder {
  readonly interruptMs: number;
  readonly terminateMs: number;
  /** Who gets SIGINT and SIGTERM: an engine's helpers (ssh) must outlive it so that it can remove its lock. */
  readonly to: "process" | "group";
}

export const ENGINE_LADDER: KillLadder = { interruptMs: 60_000, terminateMs: 30_000, to: "process" };
export const HOOK_LADDER: KillLadder = { interruptMs: 5_000, terminateMs: 10_000, to: "group" };

/** Escalates until `ended` settles. */
export async function runKillLadder(leader: number, ladder: KillLadder, ended: Promise<unknown>): Promise<void> {
  const target = ladder.to === "group" ? -leader : leader;
  const over = new AbortController();
  const stop = (): void => over.abort();
  ended.then(stop, stop);
  send(target, "SIGINT");
  if (await endsWithin(ladder.interruptMs, over.signal)) return;
  send(target, "SIGTERM");
  if (await endsWithin(ladder.terminateMs, over.signal)) return;
  send(-leader, "SIGKILL");
}

const LEFTOVER_GRACE_MS = 2_000;

/** Kills what is left in the group of a leader that has ended: SIGTERM, then SIGKILL. */
export async function killGroup(leader: number): Promise<void> {
  if (!send(-leader, "SIGTERM")) return;
  const deadline = performance.now() + LEFTOVER_GRACE_MS;
  while (performance.now() < deadline) {
    await delay(20);
    if (!listProcesses().some(({ group }) => group === leader)) return;
  }
  send(-leader, "SIGKILL");
}

/** @returns false when no such process is left */
function send(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch {
    return false;
  }
}

async function endsWithin(milliseconds: number, over: AbortSignal): Promise<boolean> {
  try {
    await delay(milliseconds, undefined, { signal: over });
    return false;
  } catch {
    return true;
  }
}

import { rm } from "node:fs/promises";
import * as z from "zod";
import { Instant, instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { writeFileAtomically } from "../../shared/node/files.ts";
import { acquireLock } from "../state/locks.ts";
import { isAlive, ownProcessRef, ProcessRef } from "../system/process/process-ref.ts";
import { peekState } from "../system/state-file.ts";

/** State of the running daemon, for `status` and `doctor`. */
export const DaemonState = z.strictObject({
  process: ProcessRef,
  socket: z.enum(["open", "closed"]),
  since: Instant,
  clockOffsetMs: z.number(),
});
export type DaemonState = z.infer<typeof DaemonState>;

/** `pid`: the other daemon's; null when it has not written its state yet. */
export type Claim = { ok: true; release: () => Promise<void> } | { ok: false; pid: number | null };

/**
 * Makes this process the only daemon of its root, or finds the other one. The claim of a dead process is taken over.
 */
export async function claimDaemon(paths: Paths): Promise<Claim> {
  const isTaken = new AbortController();
  const onWait = (): void => isTaken.abort();
  try {
    const lock = await acquireLock(paths, { name: "daemon", signal: isTaken.signal, onWait });
    return {
      ok: true,
      async release() {
        await rm(paths.daemonFile, { force: true });
        await lock.release();
      },
    };
  } catch (error) {
    if (!isTaken.signal.aborted) throw error;
    return { ok: false, pid: (await readDaemonState(paths))?.process.pid ?? null };
  }
}

/** @returns null when no daemon is running */
export async function readDaemonState(paths: Paths): Promise<DaemonState | null> {
  const state = await peekState(paths.daemonFile, DaemonState);
  return typeof state === "object" && isAlive(state.value.process) ? state.value : null;
}

export async function writeDaemonState(
  paths: Paths,
  state: { isOnline: boolean; now: number; clockOffsetMs: number },
): Promise<void> {
  const text: DaemonState = {
    process: ownProcessRef(),
    socket: state.isOnline ? "open" : "closed",
    since: instant(state.now),
    clockOffsetMs: state.clockOffsetMs,
  };
  await writeFileAtomically(paths.daemonFile, JSON.stringify(text));
}

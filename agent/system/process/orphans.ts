import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { runKillLadder, killGroup, type KillLadder } from "./kill-ladder.ts";
import { isAlive, listProcesses, processRefOf, type ProcessRef } from "./process-ref.ts";

/** In the environment of a script whose output an engine stores. */
export const DUMP_PHASE_ENV = "HOLDFAST_PHASE=dump";

const POLL_EVERY_MS = 100;

/**
 * Ends what a run's dead process has left behind: its last child, with the kill ladder, then the rest of that child's
 * session. A service that a hook started is in its own session, and is not touched.
 * @param run the value of HOLDFAST_RUN in the environment of every child of the run
 */
export async function killOrphans(child: ProcessRef, run: string, ladder: KillLadder): Promise<void> {
  if (isAlive(child)) {
    const ended = untilExited(child);
    await runKillLadder(child.pid, ladder, ended);
    await ended;
  }
  for (const group of await findOrphanGroups(child.pid, run)) await killGroup(group);
}

/**
 * Engines of a run that are still alive. A run records each child once it has started, and may have died before that. A
 * hook's child has HOLDFAST_PHASE in its environment, an engine does not.
 */
export async function findOrphanEngines(run: string): Promise<ProcessRef[]> {
  const found: ProcessRef[] = [];
  for (const { pid } of listProcesses().filter((status) => status.pid === status.session)) {
    const environment = await environmentOf(pid);
    if (!environment.includes(`HOLDFAST_RUN=${run}`)) continue;
    const ref = environment.some((line) => line.startsWith("HOLDFAST_PHASE=")) ? null : processRefOf(pid);
    if (ref !== null) found.push(ref);
  }
  return found;
}

/**
 * Sends SIGTERM to every process that has all of these in its environment. Not SIGINT: borg makes its command ignore
 * that.
 */
export async function terminateByEnvironment(environment: readonly string[]): Promise<void> {
  for (const { pid } of listProcesses()) {
    const found = await environmentOf(pid);
    if (!environment.every((line) => found.includes(line))) continue;
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** It is not our child, so its end has to be polled for. */
async function untilExited(ref: ProcessRef): Promise<void> {
  while (isAlive(ref)) await delay(POLL_EVERY_MS);
}

/** The session's id is the dead leader's pid; the environment tells it from a later session with the same number. */
async function findOrphanGroups(session: number, run: string): Promise<number[]> {
  const groups = new Set<number>();
  for (const status of listProcesses().filter((found) => found.session === session)) {
    if ((await environmentOf(status.pid)).includes(`HOLDFAST_RUN=${run}`)) groups.add(status.group);
  }
  return [...groups];
}

/** Empty when the process is gone or may not be inspected: then it is not ours to end. */
async function environmentOf(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")).split("\0");
}

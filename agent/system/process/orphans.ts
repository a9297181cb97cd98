import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { runKillLadder, killGroup, type KillLadder } from "./kill-ladder.ts";
import { isAlive, listProcesses, processRefOf, type ProcessRef } from "./process-ref.ts";

/** In the environment of a script whose output an engine stores. */
export const DUMP_PHASE_ENV = "HOLDFAST_PHASE=dump";

const LOOK_EVERY_MS = 100;

/**
 * Ends what a run's dead process has left behind: its last child, by the ladder, then the rest of that child's session.
 * A service that a hook has started is in a session of its own, and stays.
 * @param run what HOLDFAST_RUN is in the environment of every child of the run
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
 * A run's engines that live on. The run notes each child when it has begun, and may have died before that.
 * A hook's child has HOLDFAST_PHASE in its environment, an engine has not.
 */
export async function findOrphanEngines(run: string): Promise<ProcessRef[]> {
  const found: ProcessRef[] = [];
  for (const { pid } of listProcesses().filter((status) => status.pid === status.session)) {
    const environment = await environmentOf(pid);
    if (!environment.includes(`HOLDFAST_RUN=${run}`)) continue;
    const mark = environment.some((line) => line.startsWith("HOLDFAST_PHASE=")) ? null : processRefOf(pid);
    if (mark !== null) found.push(mark);
  }
  return found;
}

/** Ends every process that has all of these in its environment. Not by SIGINT: borg has its command ignore that. */
export async function terminateByEnvironment(environment: readonly string[]): Promise<void> {
  for (const { pid } of listProcesses()) {
    const found = await environmentOf(pid);
    if (!environment.every((line) => found.includes(line))) continue;
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // Gone meanwhile.
    }
  }
}

/** It is not our child, so nobody tells when it ends. */
async function untilExited(mark: ProcessRef): Promise<void> {
  while (isAlive(mark)) await delay(LOOK_EVERY_MS);
}

/** The session's id is the dead leader's pid; the environment tells it from a later session with the same number. */
async function findOrphanGroups(session: number, run: string): Promise<number[]> {
  const groups = new Set<number>();
  for (const status of listProcesses().filter((found) => found.session === session)) {
    if ((await environmentOf(status.pid)).includes(`HOLDFAST_RUN=${run}`)) groups.add(status.group);
  }
  return [...groups];
}

/** Empty for one that is gone meanwhile, or not ours to look into: not ours to end. */
async function environmentOf(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")).split("\0");
}

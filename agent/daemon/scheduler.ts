import { join } from "node:path";
import * as z from "zod";
import type { Assignment } from "../../shared/assignment.ts";
import { type Id, Instant, instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { decide } from "./due.ts";
import type { Decision, History } from "./due.ts";
import { knownEngineIds } from "../providers/remembered.ts";
import { readState, writeState } from "../system/state-file.ts";
import { scheduledOf, type Task, tasksOf } from "./tasks.ts";
import type { Timers } from "../system/timers.ts";
import { beginAgain, putOffUntil } from "../state/upkeep-state.ts";
import { whileItRuns } from "../state/put-off.ts";
import { readPutOff, writePutOff } from "../state/backup-put-off.ts";

/**
 * A task whose time has come. `begins` is called when its run has really begun, and can't be lost any more: from then on the time is behind us. `putBack` is,
 * when it can't start now: it comes again soon.
 */
export interface Due {
  task: Task;
  dueAt: number;
  trigger: "schedule" | "catch-up";
  begins: () => Promise<void>;
  putBack: () => void;
}

export interface SchedulerDeps {
  paths: Paths;
  clock: { now(): number };
  timers: Timers;
  zone: string;
  log: (line: string) => void;
  assignment: () => Assignment | null;
  onDue: (due: Due) => void;
}

export interface Scheduler {
  /** Looks at the schedules again: the assignment changed, or a run ended. Resolves when it has. */
  wake(): Promise<void>;
  stop(): void;
}

/** The wall clock is asked again at least this often: it jumps when the host sleeps or somebody sets it. */
const LOOK_AGAIN_AFTER_MS = 30_000;

const Stored = z.strictObject({ lastDueAt: Instant.nullable(), since: Instant, calendar: z.string() });

/** Says when a task is due, once per time of its calendar, as long as it is not stopped. */
export function startScheduler(deps: SchedulerDeps): Scheduler {
  const waiting = new Set<string>();
  let takeBack = (): void => {};
  let looking = Promise.resolve();
  let isStopped = false;

  const take = async (task: Task): Promise<number | null> => {
    const { id } = scheduledOf(task);
    if (waiting.has(id) || !(await mayRun(deps.paths, task))) return null;
    const decision = await decideNow(deps, task);
    if (decision.kind === "wait") return decision.nextDueAt;
    waiting.add(id);
    const putBack = (): void => void waiting.delete(id);
    const begins = async (): Promise<void> => {
      try {
        // While it waited for its turn, more of its times may have passed: this one run is for all of them.
        const late = await decideNow(deps, task);
        if (late.kind === "run") await writeHistory(deps.paths, task, late.history);
        await (task.kind === "backup" ? beginBackupAgain(deps, task.binding.id) : beginAgain(deps, task));
      } finally {
        // Not before that is written: who looks meanwhile would find the same time due once more.
        putBack();
      }
    };
    deps.onDue({ task, dueAt: decision.dueAt, trigger: decision.trigger, begins, putBack });
    return null;
  };
  const look = async (): Promise<void> => {
    takeBack();
    if (isStopped) return;
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const task of tasksOf(deps.assignment())) {
      try {
        wakeAt = Math.min(wakeAt, (await take(task)) ?? wakeAt);
      } catch (error) {
        deps.log(
          `the schedule of ${scheduledOf(task).name} can't be followed: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
    const milliseconds = Math.max(0, Math.min(wakeAt - deps.clock.now(), LOOK_AGAIN_AFTER_MS));
    takeBack = deps.timers.after(milliseconds, () => void wake());
  };
  const wake = (): Promise<void> => (looking = looking.then(look));

  void wake();
  return {
    wake,
    stop() {
      isStopped = true;
      takeBack();
    },
  };
}

/** When a task runs next by itself, for `status`; null: not by itself, or at once. */
export async function nextDueAt(paths: Paths, task: Task, now: { now: number; zone: string }): Promise<number | null> {
  const decision = await decideFor(paths, task, { ...now, history: await readHistory(paths, task) });
  return decision.kind === "wait" ? decision.nextDueAt : decision.dueAt;
}

/** Since when a task's calendar is followed, in milliseconds since 1970; null: not yet. */
export async function followedSince(paths: Paths, task: Task): Promise<number | null> {
  return (await readHistory(paths, task))?.since ?? null;
}

/** A repository that was never seen has nothing to prune or check: its first backup makes it. */
async function mayRun(paths: Paths, task: Task): Promise<boolean> {
  return task.kind === "backup" || (await knownEngineIds(paths, task.repository)).length > 0;
}

async function decideNow(deps: SchedulerDeps, task: Task): Promise<Decision> {
  const { paths, zone } = deps;
  const history = await readHistory(paths, task);
  const decision = await decideFor(paths, task, { now: deps.clock.now(), zone, history });
  if (decision.kind === "wait" && decision.history !== history) await writeHistory(paths, task, decision.history);
  return decision;
}

interface Moment {
  readonly now: number;
  readonly zone: string;
  readonly history: History | null;
}

async function decideFor(paths: Paths, task: Task, { now, zone, history }: Moment): Promise<Decision> {
  const scheduled = scheduledOf(task);
  const decision = decide({ task: scheduled, zone, now, history });
  if (decision.kind === "run" || scheduled.paused || !scheduled.settings.enable) return decision;
  const again = await (task.kind === "backup" ? backupPutOffUntil(paths, task.binding.id) : putOffUntil(paths, task));
  if (again === null) return decision;
  if (again > now) return { ...decision, nextDueAt: Math.min(again, decision.nextDueAt ?? again) };
  return { kind: "run", dueAt: again, trigger: "catch-up", history: decision.history };
}

async function backupPutOffUntil(paths: Paths, binding: Id): Promise<number | null> {
  const putOff = await readPutOff(paths, binding);
  return putOff === null ? null : Date.parse(putOff.againAt);
}

async function beginBackupAgain({ paths, clock }: SchedulerDeps, binding: Id): Promise<void> {
  const putOff = await readPutOff(paths, binding);
  if (putOff !== null) await writePutOff(paths, { binding, putOff: whileItRuns(putOff, clock.now()) });
}

async function readHistory(paths: Paths, task: Task): Promise<History | null> {
  const stored = await readState(historyFile(paths, task), Stored);
  if (stored === null) return null;
  const { lastDueAt, since, calendar } = stored;
  return { lastDueAt: lastDueAt === null ? null : Date.parse(lastDueAt), since: Date.parse(since), calendar };
}

async function writeHistory(paths: Paths, task: Task, history: History): Promise<void> {
  const lastDueAt = history.lastDueAt === null ? null : instant(history.lastDueAt);
  const stored = { lastDueAt, since: instant(history.since), calendar: history.calendar };
  await writeState(historyFile(paths, task), stored);
}

function historyFile(paths: Paths, task: Task): string {
  return join(task.kind === "backup" ? paths.bindingsDir : paths.repositoriesDir, `${scheduledOf(task).id}.json`);
}

import { join } from "node:path";
import * as z from "zod";
import type { Assignment } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { type Id, Instant, instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { decideTask } from "./due.ts";
import type { Decision, ScheduleState } from "./due.ts";
import { knownEngineIds } from "../providers/engine-ids.ts";
import { readState, writeState } from "../system/state-file.ts";
import { scheduledOf, type Task, tasksOf } from "./tasks.ts";
import type { Timers } from "../system/timers.ts";
import { markUpkeepRetry, upkeepDeferredUntil } from "../state/upkeep-state.ts";
import { extendWhileRunning } from "../state/deferral.ts";
import { readLastRun } from "../state/last-run.ts";
import { type Boot, bootOf } from "../system/boot.ts";
import { readBackupDeferral, writeBackupDeferral } from "../state/backup-deferral.ts";

/**
 * A due task. `onStarted`: the run is in the spool, so this due time is done. `onNotStarted`: the run could not start;
 * the task becomes due again soon.
 */
export interface DueTask {
  task: Task;
  dueAt: number;
  trigger: "schedule" | "catch-up";
  onStarted: () => Promise<void>;
  onNotStarted: () => void;
}

export interface SchedulerDeps {
  paths: Paths;
  clock: { now(): number };
  timers: Timers;
  zone: string;
  log: (line: string) => void;
  assignment: () => Assignment | null;
  /** The machine's last start; held in tests. */
  bootOf?: (now: number) => Boot;
  onDue: (due: DueTask) => void;
}

export interface Scheduler {
  /** Checks the schedules again: the assignment has changed, or a run has ended. Resolves when done. */
  wake(): Promise<void>;
  stop(): void;
}

/** The wall clock is read again at least this often: it jumps after a suspend, or when it is set. */
const RECHECK_AFTER_MS = 30_000;

const StoredScheduleState = z.strictObject({
  lastDueAt: Instant.nullable(),
  since: Instant,
  calendar: z.string(),
  boot: z.strictObject({ id: z.string(), doneMs: z.number() }).optional(),
});

/** Calls `onDue` once per scheduled time of each task, until stopped. */
export function startScheduler(deps: SchedulerDeps): Scheduler {
  const dispatched = new Set<string>();
  let cancelTimer = (): void => {};
  let checking = Promise.resolve();
  let isStopped = false;

  const dispatchIfDue = async (task: Task): Promise<number | null> => {
    const { id } = scheduledOf(task);
    if (dispatched.has(id) || !(await mayRun(deps.paths, task))) return null;
    const decision = await decideNow(deps, task);
    if (decision.kind === "wait") return decision.nextDueAt;
    dispatched.add(id);
    const onNotStarted = (): void => void dispatched.delete(id);
    const onStarted = async (): Promise<void> => {
      try {
        // While queued, more due times may have passed: this one run covers them all.
        const late = await decideNow(deps, task);
        if (late.kind === "run") await writeScheduleState(deps.paths, task, late.history);
        await (task.kind === "backup" ? markBackupRetry(deps, task.binding.id) : markUpkeepRetry(deps, task));
      } finally {
        // Not before the state is written: a check in between would find the same time due again.
        onNotStarted();
      }
    };
    deps.onDue({ task, dueAt: decision.dueAt, trigger: decision.trigger, onStarted, onNotStarted });
    return null;
  };
  const checkSchedules = async (): Promise<void> => {
    cancelTimer();
    if (isStopped) return;
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const task of tasksOf(deps.assignment())) {
      try {
        wakeAt = Math.min(wakeAt, (await dispatchIfDue(task)) ?? wakeAt);
      } catch (error) {
        deps.log(`the schedule of ${scheduledOf(task).name} can't be followed: ${messageOf(error)}`);
      }
    }
    const milliseconds = Math.max(0, Math.min(wakeAt - deps.clock.now(), RECHECK_AFTER_MS));
    cancelTimer = deps.timers.after(milliseconds, () => void wake());
  };
  const wake = (): Promise<void> => (checking = checking.then(checkSchedules));

  void wake();
  return {
    wake,
    stop() {
      isStopped = true;
      cancelTimer();
    },
  };
}

/** When a task runs next, in ms, for `status`; null when it is off, or never due again. */
export async function nextDueAt(paths: Paths, task: Task, now: { now: number; zone: string }): Promise<number | null> {
  const decision = await decideFor(paths, task, { ...now, history: await readScheduleState(paths, task) });
  return decision.kind === "wait" ? decision.nextDueAt : decision.dueAt;
}

/** Since when a task's calendar is followed, in ms since 1970; null: not yet. */
export async function scheduledSince(paths: Paths, task: Task): Promise<number | null> {
  return (await readScheduleState(paths, task))?.since ?? null;
}

/** A repository that does not exist yet has nothing to prune or check: its first backup creates it. */
async function mayRun(paths: Paths, task: Task): Promise<boolean> {
  return task.kind === "backup" || (await knownEngineIds(paths, task.repository)).length > 0;
}

async function decideNow(deps: SchedulerDeps, task: Task): Promise<Decision> {
  const { paths, zone } = deps;
  const history = await readScheduleState(paths, task);
  const decision = await decideFor(paths, task, { now: deps.clock.now(), zone, history, bootOf: deps.bootOf });
  if (decision.kind === "wait" && decision.history !== history) await writeScheduleState(paths, task, decision.history);
  return decision;
}

interface Moment {
  readonly now: number;
  readonly zone: string;
  readonly history: ScheduleState | null;
  readonly bootOf?: SchedulerDeps["bootOf"] | undefined;
}

async function decideFor(paths: Paths, task: Task, moment: Moment): Promise<Decision> {
  const { now, zone, history } = moment;
  const scheduled = scheduledOf(task);
  const { OnBootSec, OnUnitActiveSec, OnUnitInactiveSec } = scheduled.settings.timerConfig;
  const counts = OnBootSec ?? OnUnitActiveSec ?? OnUnitInactiveSec;
  const last = counts === undefined ? null : await readLastRun(paths, { kind: task.kind, id: scheduled.id });
  const boot = OnBootSec === undefined ? null : (moment.bootOf ?? bootOf)(now);
  const decision = decideTask({ task: scheduled, zone, now, history, last, boot });
  if (decision.kind === "run" || scheduled.paused || !scheduled.settings.enable) return decision;
  const retryAt = await (task.kind === "backup"
    ? backupDeferredUntil(paths, task.binding.id)
    : upkeepDeferredUntil(paths, task));
  if (retryAt === null) return decision;
  if (retryAt > now) return { ...decision, nextDueAt: Math.min(retryAt, decision.nextDueAt ?? retryAt) };
  return { kind: "run", dueAt: retryAt, trigger: "catch-up", history: decision.history };
}

async function backupDeferredUntil(paths: Paths, binding: Id): Promise<number | null> {
  const deferral = await readBackupDeferral(paths, binding);
  return deferral === null ? null : Date.parse(deferral.againAt);
}

async function markBackupRetry({ paths, clock }: SchedulerDeps, binding: Id): Promise<void> {
  const deferral = await readBackupDeferral(paths, binding);
  if (deferral !== null)
    await writeBackupDeferral(paths, { binding, deferral: extendWhileRunning(deferral, clock.now()) });
}

async function readScheduleState(paths: Paths, task: Task): Promise<ScheduleState | null> {
  const stored = await readState(scheduleStateFile(paths, task), StoredScheduleState);
  if (stored === null) return null;
  const { lastDueAt, since, boot, ...kept } = stored;
  return {
    ...kept,
    lastDueAt: lastDueAt === null ? null : Date.parse(lastDueAt),
    since: Date.parse(since),
    ...(boot === undefined ? {} : { boot }),
  };
}

async function writeScheduleState(paths: Paths, task: Task, history: ScheduleState): Promise<void> {
  const lastDueAt = history.lastDueAt === null ? null : instant(history.lastDueAt);
  const stored = { ...history, lastDueAt, since: instant(history.since) };
  await writeState(scheduleStateFile(paths, task), stored);
}

function scheduleStateFile(paths: Paths, task: Task): string {
  return join(task.kind === "backup" ? paths.bindingsDir : paths.repositoriesDir, `${scheduledOf(task).id}.json`);
}

import { join } from "node:path";
import * as z from "zod";
import type { AssignedBinding, Assignment } from "../shared/assignment.ts";
import { Instant, instant } from "../shared/ids.ts";
import type { Id } from "../shared/ids.ts";
import type { Paths } from "./config.ts";
import { decide } from "./due.ts";
import type { History } from "./due.ts";
import { readTextIfThere, writeFileAtomically } from "./files.ts";
import { parseJson } from "./json.ts";
import type { Timers } from "./timers.ts";

/** A binding whose time has come. `begins` is called when its run really starts: from then on the time is behind us. */
export interface Due {
  binding: AssignedBinding;
  dueAt: number;
  trigger: "schedule" | "catch-up";
  begins: () => Promise<void>;
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

/** Says when a binding is due, once per time of its calendar, as long as it is not stopped. */
export function startScheduler(deps: SchedulerDeps): Scheduler {
  const waiting = new Set<Id>();
  let takeBack = (): void => {};
  let looking = Promise.resolve();
  let isStopped = false;

  const take = async (binding: AssignedBinding): Promise<number | null> => {
    if (waiting.has(binding.id)) return null;
    const decision = await decideNow(deps, binding);
    if (decision.kind === "wait") return decision.nextDueAt;
    waiting.add(binding.id);
    const begins = async (): Promise<void> => {
      waiting.delete(binding.id);
      // While it waited for its turn, more of its times may have passed: this one run is for all of them.
      const late = await decideNow(deps, binding);
      if (late.kind === "run") await writeHistory(deps.paths, binding.id, late.history);
    };
    deps.onDue({ binding, dueAt: decision.dueAt, trigger: decision.trigger, begins });
    return null;
  };
  const look = async (): Promise<void> => {
    takeBack();
    if (isStopped) return;
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const binding of deps.assignment()?.bindings ?? []) {
      try {
        wakeAt = Math.min(wakeAt, (await take(binding)) ?? wakeAt);
      } catch (error) {
        deps.log(
          `the schedule of ${binding.name} can't be followed: ${error instanceof Error ? error.message : String(error)}`,
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

/** When a binding runs next by itself, for `status`; null: not by itself, or at once. */
export async function nextDueAt(
  paths: Paths,
  binding: AssignedBinding,
  now: { now: number; zone: string },
): Promise<number | null> {
  const decision = decide({ binding, ...now, history: await readHistory(paths, binding.id) });
  return decision.kind === "wait" ? decision.nextDueAt : decision.dueAt;
}

async function decideNow(deps: SchedulerDeps, binding: AssignedBinding): Promise<ReturnType<typeof decide>> {
  const history = await readHistory(deps.paths, binding.id);
  const decision = decide({ binding, zone: deps.zone, now: deps.clock.now(), history });
  if (decision.kind === "wait" && decision.history !== history)
    await writeHistory(deps.paths, binding.id, decision.history);
  return decision;
}

async function readHistory(paths: Paths, binding: Id): Promise<History | null> {
  const stored = Stored.safeParse(parseJson((await readTextIfThere(historyFile(paths, binding))) ?? ""));
  if (!stored.success) return null;
  const { lastDueAt, since, calendar } = stored.data;
  return { lastDueAt: lastDueAt === null ? null : Date.parse(lastDueAt), since: Date.parse(since), calendar };
}

async function writeHistory(paths: Paths, binding: Id, history: History): Promise<void> {
  const lastDueAt = history.lastDueAt === null ? null : instant(history.lastDueAt);
  const stored = { lastDueAt, since: instant(history.since), calendar: history.calendar };
  await writeFileAtomically(historyFile(paths, binding), JSON.stringify(stored));
}

function historyFile(paths: Paths, binding: Id): string {
  return join(paths.bindingsDir, `${binding}.json`);
}

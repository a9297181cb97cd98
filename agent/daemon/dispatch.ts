import type { Assignment, ForeignBinding, Order } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { instant } from "../../shared/ids.ts";
import type { Id } from "../../shared/ids.ts";
import { isAlive } from "../system/process/process-ref.ts";
import { backup, forget, restore, runUpkeep } from "../runs.ts";
import { foreignRetention } from "../upkeep/maintainer.ts";
import type { RunnerDeps } from "../run/deps.ts";
import type { RunnerInput, RunStart } from "../run/deps.ts";
import { recordUnstarted } from "../run/record.ts";
import { runFailure } from "../run-error.ts";
import type { DueTask } from "./scheduler.ts";
import type { UpkeepKind } from "../state/upkeep-state.ts";
import type { Queue } from "./queue.ts";
import type { InUnit } from "./units/backup-units.ts";

export interface DispatchDeps {
  runner: RunnerDeps;
  queue: Queue;
  inUnit: InUnit;
  newId: () => Id;
  /** What is in force, and what of it or more the control plane has signed. */
  assignment: () => Assignment | null;
  signed: () => Assignment | null;
  /**
   * Interrupted runs are recovered first: a service they stopped must be running again before it is stopped once more.
   */
  interruptedRunsEnded: Promise<void>;
}

type RunOrder = Exclude<Order, { kind: "cancel" }>;
type BindingOrder = Exclude<RunOrder, { kind: UpkeepKind }>;

/** Adds a due task to the queue. */
export function dispatchDue(deps: DispatchDeps, due: DueTask): void {
  const { task, trigger } = due;
  const run = deps.newId();
  const subject = task.kind === "backup" ? task.binding.id : task.repository.id;
  const begin = async (signal: AbortSignal): Promise<void> => {
    await deps.interruptedRunsEnded;
    let hasStarted = false;
    const onStarted = async (): Promise<void> => {
      hasStarted = true;
      await due.onStarted();
    };
    const start = { runId: run, trigger, scheduledAt: instant(due.dueAt), signal, onStarted };
    try {
      await deps.runner.spool.ensureWritable();
      await runTask(deps, task, start);
    } finally {
      // A run that can't be reported does not start; its due time stays open.
      if (!hasStarted) due.onNotStarted();
    }
  };
  deps.queue.add({ run, subject, start: (signal) => logErrors(deps, run, begin(signal)) });
}

async function runTask(deps: DispatchDeps, task: DueTask["task"], start: Omit<RunStart, "assignment">): Promise<void> {
  if (task.kind === "backup") {
    const now = findBinding(deps, task.binding.id);
    if (now !== null) await backUp(deps, { ...now, ...start });
    return;
  }
  const now = findRepository(deps, task.repository.id);
  if (now !== null) await runUpkeep(deps.runner, { ...now, ...start, kind: task.kind });
}

/** One backup, in its unit where there is one. Its retention follows there too. */
async function backUp(deps: DispatchDeps, input: RunnerInput): Promise<void> {
  const { signal, binding } = input;
  await deps.inUnit({ signal, binding: binding.name }, (place) => backup(deps.runner, { ...input, ...place }));
}

/** Carries out an order. Its run has the order's own id. */
export function dispatchOrder(deps: DispatchDeps, order: Order): void {
  if (order.kind === "cancel") {
    if (!deps.queue.cancel(order.run)) void logErrors(deps, order.run, cancelInOtherProcess(deps, order.run));
    return;
  }
  const begin = (signal: AbortSignal): Promise<void> => logErrors(deps, order.id, runOrder(deps, order, signal));
  deps.queue.add({ run: order.id, subject: "binding" in order ? order.binding : order.repository, start: begin });
}

async function runOrder(deps: DispatchDeps, order: RunOrder, signal: AbortSignal): Promise<void> {
  await deps.interruptedRunsEnded;
  const start = { runId: order.id, trigger: "order" as const, scheduledAt: null, signal };
  if (order.kind === "prune" || order.kind === "check") {
    const now = findRepository(deps, order.repository);
    if (now === null) return await reportUnknown(deps, order);
    await runUpkeep(deps.runner, { ...now, ...start, kind: order.kind });
    return;
  }
  const now = bindingForOrder(deps, order);
  if (now === null) return await reportUnknown(deps, order);
  const input = { ...now, ...start };
  if (order.kind === "backup") await backUp(deps, input);
  else if (order.kind === "forget") {
    await forget(deps.runner, { ...input, dryRun: order.dryRun, isForeign: order.from !== null });
  } else await restore(deps.runner, { ...input, restore: order.restore });
}

function bindingForOrder(deps: DispatchDeps, order: BindingOrder): ReturnType<typeof findBinding> {
  if (order.kind === "backup" || order.from === null) return findBinding(deps, order.binding);
  if (order.kind === "restore") return foreignBinding(order.from, order);
  const assignment = deps.assignment();
  return assignment === null ? null : foreignRetention(assignment, order.from);
}

/** Another host's binding and its snapshots, as in that host's own assignment: no file of this host declares it. */
export function foreignBinding(
  { host, binding, contract, repository }: ForeignBinding,
  { issuedAt }: Pick<Order, "issuedAt">,
): { assignment: Assignment; binding: Assignment["bindings"][number] } {
  const known = { contracts: [{ ...contract, declared: false }], repositories: [repository], bindings: [binding] };
  return { assignment: { protocol: 1, host, revision: 0, issuedAt, ...known }, binding };
}

/** Looked up when the run starts: the assignment may have changed while the run was queued. */
function findBinding(
  deps: DispatchDeps,
  id: Id,
): { assignment: Assignment; binding: Assignment["bindings"][number] } | null {
  const assignment = deps.assignment();
  const binding = assignment?.bindings.find((one) => one.id === id);
  return assignment === null || binding === undefined ? null : { assignment, binding };
}

function findRepository(
  deps: DispatchDeps,
  id: Id,
): { assignment: Assignment; repository: Assignment["repositories"][number] } | null {
  const assignment = deps.assignment();
  const repository = assignment?.repositories.find((one) => one.id === id);
  return assignment === null || repository === undefined ? null : { assignment, repository };
}

async function reportUnknown(deps: DispatchDeps, order: RunOrder): Promise<void> {
  const about =
    "binding" in order
      ? { binding: order.binding, repository: null, what: `binding ${order.binding}` }
      : { binding: null, repository: order.repository, what: `repository ${order.repository}` };
  const { binding, repository, what } = about;
  const run = { runId: order.id, binding, repository, kind: order.kind, trigger: "order" as const, scheduledAt: null };
  const failure = isWaiting(deps, about)
    ? runFailure("policy.approval_needed", `${what} waits for root on this host`)
    : runFailure(
        "binding.unknown",
        `this host has no ${what} in its assignment`,
        "Check whether it still exists, then send the order again.",
      );
  await recordUnstarted(deps.runner, run, failure);
}

interface OrderSubject {
  readonly binding: Id | null;
  readonly repository: Id | null;
}

/** Whether it is assigned, and only not in force. */
function isWaiting({ signed, assignment }: Pick<DispatchDeps, "signed" | "assignment">, of: OrderSubject): boolean {
  return isIn(signed(), of) && !isIn(assignment(), of);
}

function isIn(assignment: Assignment | null, { binding, repository }: OrderSubject): boolean {
  const { bindings = [], repositories = [] } = assignment ?? {};
  return bindings.some(({ id }) => id === binding) || repositories.some(({ id }) => id === repository);
}

/** A run started with the CLI has its own process: SIGINT cancels it. */
async function cancelInOtherProcess(deps: DispatchDeps, run: Id): Promise<void> {
  for (const { report, owner } of await deps.runner.spool.list()) {
    const isIt = report.type === "run" && report.run.id === run;
    if (isIt && owner !== null && owner.pid !== process.pid && isAlive(owner)) process.kill(owner.pid, "SIGINT");
  }
}

async function logErrors(deps: DispatchDeps, run: Id, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    deps.runner.log(`run ${run} could not be done: ${messageOf(error)}`);
  }
}

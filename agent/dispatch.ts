import type { Assignment, ForeignBinding, Order } from "../shared/assignment.ts";
import { instant } from "../shared/ids.ts";
import type { Id } from "../shared/ids.ts";
import { isAlive } from "./process-mark.ts";
import { backup, restore } from "./runner.ts";
import type { RunnerDeps } from "./runner.ts";
import type { Due } from "./scheduler.ts";
import type { Workload } from "./workload.ts";

export interface DispatchDeps {
  runner: RunnerDeps;
  workload: Workload;
  newId: () => Id;
  assignment: () => Assignment | null;
  /** Runs left over from before are ended first: a service they had stopped is started before it is stopped again. */
  ready: Promise<void>;
}

type RunOrder = Exclude<Order, { kind: "cancel" | "prune" | "check" | "forget" }>;

/** Puts a binding whose time has come into the workload. */
export function dispatchDue(deps: DispatchDeps, due: Due): void {
  const run = deps.newId();
  const begin = async (signal: AbortSignal): Promise<void> => {
    await deps.ready;
    await due.begins();
    const now = findBinding(deps, due.binding.id);
    if (now === null) return;
    const scheduledAt = instant(due.dueAt);
    await backup(deps.runner, { ...now, runId: run, trigger: due.trigger, scheduledAt, signal });
  };
  deps.workload.add({ run, binding: due.binding.id, begin: (signal) => logged(deps, run, begin(signal)) });
}

/** Does what an order says. Its run has the order's own id. */
export function dispatchOrder(deps: DispatchDeps, order: Order): void {
  if (order.kind === "cancel") {
    if (!deps.workload.cancel(order.run)) void logged(deps, order.run, cancelElsewhere(deps, order.run));
    return;
  }
  if (order.kind === "prune" || order.kind === "check" || order.kind === "forget") return;
  const begin = (signal: AbortSignal): Promise<void> => logged(deps, order.id, runOrder(deps, order, signal));
  deps.workload.add({ run: order.id, binding: order.binding, begin });
}

async function runOrder(deps: DispatchDeps, order: RunOrder, signal: AbortSignal): Promise<void> {
  await deps.ready;
  const from = order.kind === "restore" ? order.from : null;
  const now = from === null ? findBinding(deps, order.binding) : foreignBinding(from, order);
  if (now === null) return await reportUnknownBinding(deps, order);
  const input = { ...now, runId: order.id, trigger: "order" as const, scheduledAt: null, signal };
  if (order.kind === "backup") await backup(deps.runner, input);
  else await restore(deps.runner, { ...input, restore: order.restore });
}

/** Another host's binding, as that host would have it in its assignment, with the snapshots it made. */
function foreignBinding(
  { host, binding, contract, repository }: ForeignBinding,
  { issuedAt }: Pick<Order, "issuedAt">,
): { assignment: Assignment; binding: Assignment["bindings"][number] } {
  const known = { contracts: [contract], repositories: [repository], bindings: [binding] };
  return { assignment: { protocol: 1, host, revision: 0, issuedAt, ...known }, binding };
}

/** The assignment of the moment the run begins: what it waited for may have changed it. */
function findBinding(
  deps: DispatchDeps,
  id: Id,
): { assignment: Assignment; binding: Assignment["bindings"][number] } | null {
  const assignment = deps.assignment();
  const binding = assignment?.bindings.find((one) => one.id === id);
  return assignment === null || binding === undefined ? null : { assignment, binding };
}

async function reportUnknownBinding(deps: DispatchDeps, order: RunOrder): Promise<void> {
  const at = instant(deps.runner.clock.now());
  await deps.runner.spool.write({
    owner: null,
    after: null,
    report: {
      type: "run",
      sequence: 1,
      log: "",
      suspicious: null,
      engineId: null,
      snapshots: null,
      run: {
        id: order.id,
        binding: order.binding,
        repository: null,
        kind: order.kind,
        trigger: "order",
        state: "failed",
        scheduledAt: null,
        queuedAt: null,
        startedAt: at,
        finishedAt: at,
        snapshot: null,
        failure: {
          code: "binding.unknown",
          message: `this host has no binding ${order.binding} in its assignment`,
          next: "Look whether the binding still exists, then ask again.",
        },
        warnings: [],
        stats: null,
        plan: null,
        items: null,
      },
    },
  });
}

/** A run that a person started on the host by hand lives in a process of its own. It takes SIGINT as a wish to stop. */
async function cancelElsewhere(deps: DispatchDeps, run: Id): Promise<void> {
  for (const { report, owner } of await deps.runner.spool.list()) {
    const isIt = report.type === "run" && report.run.id === run;
    if (isIt && owner !== null && owner.pid !== process.pid && isAlive(owner)) process.kill(owner.pid, "SIGINT");
  }
}

async function logged(deps: DispatchDeps, run: Id, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    deps.runner.log(`run ${run} could not be done: ${error instanceof Error ? error.message : String(error)}`);
  }
}

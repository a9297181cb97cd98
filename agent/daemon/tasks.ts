import type { AssignedBinding, AssignedRepository, Assignment } from "../../shared/assignment.ts";
import type { Settings } from "../../shared/binding.ts";
import type { UpkeepKind } from "../state/upkeep-state.ts";

/** Something scheduled on this host. */
export type Task =
  | { readonly kind: "backup"; readonly binding: AssignedBinding }
  | { readonly kind: UpkeepKind; readonly repository: AssignedRepository };

/** The schedule of a task. */
export interface Scheduled {
  /** Unique among all tasks: its random delay is derived from it. */
  readonly id: string;
  readonly name: string;
  readonly paused: boolean;
  readonly settings: Pick<Settings, "enable" | "timerConfig" | "zone">;
}

/** Backups of every binding, and the upkeep of each repository that this host maintains. */
export function tasksOf(assignment: Assignment | null): Task[] {
  const backups = (assignment?.bindings ?? []).map((binding): Task => ({ kind: "backup", binding }));
  const maintained = (assignment?.repositories ?? []).filter(({ maintains }) => maintains);
  const upkeep = maintained.flatMap((repository): Task[] => [
    // Nothing may be removed from it without the maintainer's own access: somebody else prunes it.
    ...(repository.appendOnly && repository.maintenance.access === undefined
      ? []
      : [{ kind: "prune" as const, repository }]),
    { kind: "check", repository },
  ]);
  return [...backups, ...upkeep];
}

export function scheduledOf(task: Task): Scheduled {
  if (task.kind === "backup") return task.binding;
  const { id, name, maintenance } = task.repository;
  const { enable, timerConfig } = maintenance[task.kind];
  return {
    id: `${id}.${task.kind}`,
    name: `${task.kind} of ${name}`,
    paused: false,
    settings: { enable, timerConfig, zone: maintenance.zone },
  };
}

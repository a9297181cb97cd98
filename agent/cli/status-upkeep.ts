import type { Assignment } from "../../shared/assignment.ts";
import { instant } from "../../shared/ids.ts";
import type { Instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { nextDueAt } from "../daemon/scheduler.ts";
import { tasksOf } from "../daemon/tasks.ts";
import { readUpkeep, type UpkeepKind } from "../state/upkeep-state.ts";

/** Prune or check schedule of a repository this host maintains. */
export interface UpkeepStatus {
  readonly repository: string;
  readonly kind: UpkeepKind;
  /** Null: not scheduled. */
  readonly nextDueAt: Instant | null;
  /** Since when its checks find damage. */
  readonly damagedSince: Instant | null;
}

/** One entry for each prune and check of the repositories this host maintains. */
export async function upkeepStatus(
  paths: Paths,
  assignment: Assignment | null,
  now: { now: number; zone: string },
): Promise<UpkeepStatus[]> {
  const found: UpkeepStatus[] = [];
  for (const task of tasksOf(assignment)) {
    if (task.kind === "backup") continue;
    const dueAt = await nextDueAt(paths, task, now);
    const { damagedSince } = await readUpkeep(paths, task.repository.id);
    const { name: repository } = task.repository;
    found.push({ repository, kind: task.kind, nextDueAt: dueAt === null ? null : instant(dueAt), damagedSince });
  }
  return found;
}

export function upkeepLines(upkeep: readonly UpkeepStatus[]): string[] {
  return upkeep.map(({ repository, kind, nextDueAt: at, damagedSince }) => {
    const damage = damagedSince === null ? "" : `, damaged since ${damagedSince}: see docs/repair.md`;
    return `${kind.padEnd(11)} ${repository}: next ${at ?? "never"}${damage}`;
  });
}

import type { RestoreRequest } from "../../shared/assignment.ts";
import { difference, type Disk, forEachYielding, isSameTime, mtimeUsOf, typeOf } from "./disk.ts";
import type { SnapshotNode } from "../providers/contents.ts";

/** What to write, entry by entry, parents first. */
export interface Plan {
  /** Does not exist yet. */
  readonly create: readonly SnapshotNode[];
  /** Exists, and is overwritten. */
  readonly update: readonly SnapshotNode[];
  /** Left as it is: already as in the snapshot, or not to be overwritten. Directories are not counted. */
  readonly skipped: number;
  /** An entry of another type is in the way and not overwritten: nothing below it can be written. */
  readonly isBlocked: boolean;
}

interface PlanInput {
  readonly nodes: readonly SnapshotNode[];
  readonly overwrite: RestoreRequest["overwrite"];
  /** Files whose content differs from the snapshot, whatever their size and time; null: not compared. */
  readonly differing: ReadonlySet<string> | null;
  /** Count only real changes as updates. Otherwise, with `always`, everything that exists. */
  readonly isExact: boolean;
}

/** Compares a snapshot's entries with the disk, and decides on each by the overwrite mode. */
export async function makePlan(disk: Disk, input: PlanInput): Promise<Plan> {
  const [create, update]: [SnapshotNode[], SnapshotNode[]] = [[], []];
  let skipped = 0;
  let blocked: string | null = null;
  let isBlocked = false;
  await forEachYielding(input.nodes, (node) => {
    if (node.type === "socket") return;
    if (blocked !== null && node.path.startsWith(blocked)) {
      skipped++;
      return;
    }
    switch (decideEntry(disk, node, input)) {
      case "create":
        create.push(node);
        break;
      case "update":
        update.push(node);
        break;
      case "skip":
        if (node.type !== "dir") skipped++;
        else if (isOccupied(disk, node)) {
          blocked = `${node.path}/`;
          isBlocked = true;
        }
    }
  });
  return { create, update, skipped, isBlocked };
}

function decideEntry(disk: Disk, node: SnapshotNode, input: PlanInput): "create" | "update" | "skip" {
  const { overwrite, differing, isExact } = input;
  const there = disk.stat(node.path);
  if (there === null) return disk.isAmbiguous(node.path) && overwrite !== "always" ? "skip" : "create";
  const changes = (): boolean => difference(node, there) !== null || differing?.has(node.path) === true;
  switch (overwrite) {
    case "never":
      return "skip";
    case "if-newer":
      if (node.type === "dir" && there.isDirectory()) return "skip";
      return node.mtimeUs > mtimeUsOf(there) && !isSameTime(node.mtimeUs, mtimeUsOf(there)) ? "update" : "skip";
    case "if-changed":
      return changes() ? "update" : "skip";
    case "always":
      return !isExact || changes() ? "update" : "skip";
  }
}

function isOccupied(disk: Disk, { path }: SnapshotNode): boolean {
  const there = disk.stat(path);
  return there !== null && typeOf(there) !== "dir";
}

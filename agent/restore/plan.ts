import type { RestoreRequest } from "../../shared/assignment.ts";
import { difference, type Disk, forEachYielding, isSameTime, mtimeUsOf, typeOf } from "./disk.ts";
import type { SnapshotNode } from "../providers/contents.ts";

/** What is to be done, entry by entry, parents first. */
export interface Plan {
  /** Not there yet. */
  readonly create: readonly SnapshotNode[];
  /** There, and written over. */
  readonly update: readonly SnapshotNode[];
  /** Left as it is: as in the snapshot already, or not to be overwritten. Directories are not counted among them. */
  readonly skipped: number;
  /** Something is in an entry's place that is not overwritten: what would be below it can't be written. */
  readonly isBlocked: boolean;
}

interface PlanInput {
  readonly nodes: readonly SnapshotNode[];
  readonly overwrite: RestoreRequest["overwrite"];
  /** Files that are not as in the snapshot, whatever their sizes and times say; null: not looked at. */
  readonly differing: ReadonlySet<string> | null;
  /** Only what really changes counts as an update; else, with `always`, whatever is there. */
  readonly isExact: boolean;
}

/** Compares a snapshot's entries with the disk, and decides of each by the overwrite mode. */
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

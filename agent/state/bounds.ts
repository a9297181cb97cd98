import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import { isOver } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import type { SpoolEntry } from "./spool-entry.ts";
import { readState, writeState } from "../system/state-file.ts";

export interface Bounds {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * A host with 300 daily bindings and their retention makes 600 reports a day: two weeks of them without a control plane. Pared,
 * one is about a kilobyte; whole, ten and more (docs/decisions/0034).
 */
export const BOUNDS: Bounds = { entries: 10_000, bytes: 64 << 20 };

const NEARLY_FULL = 0.8;
/** It is made smaller than it has to be, so that not every run has to do it again. */
const TRIM_TO = 0.9;

export function usageOf(
  sizes: ReadonlyMap<Id, number>,
  { entries, bytes }: Bounds,
): { isNearlyFull: boolean; isOver: boolean; isTooHeavy: boolean; isTooMany: boolean } {
  const held = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const reaches = (part: number): boolean => sizes.size > entries * part || held > bytes * part;
  return {
    isNearlyFull: reaches(NEARLY_FULL),
    isOver: reaches(1),
    isTooHeavy: held > bytes * TRIM_TO,
    isTooMany: sizes.size > entries * TRIM_TO,
  };
}

export interface TrimInput {
  readonly bounds: Bounds;
  /** Bytes of each entry; kept up to date by the others. */
  readonly sizes: ReadonlyMap<Id, number>;
  read(id: Id): Promise<SpoolEntry | null>;
  put(entry: SpoolEntry): Promise<void>;
  drop(id: Id): Promise<void>;
}

/**
 * Makes room when there is more than may be, the oldest first: what is said again anyway (refusals), then logs, then what a
 * newer report says better (lists of snapshots), then plans and items. Only when all of that is gone, whole reports of runs that
 * are over. What a run that goes on needs is never touched.
 * @returns how many reports of runs were dropped
 */
export async function trimSpool(keeping: TrimInput): Promise<number> {
  const { bounds, sizes } = keeping;
  if (!usageOf(sizes, bounds).isOver) return 0;
  const { refusals, runs, newestLists } = await classifyEntries(keeping);
  const isTooLong = sizes.size > bounds.entries;
  const hasEnough = (): boolean => {
    const { isTooHeavy, isTooMany } = usageOf(sizes, bounds);
    return !isTooHeavy && !(isTooLong && isTooMany);
  };
  for (const id of refusals) if (!hasEnough()) await keeping.drop(id);
  const isNewestList = (report: RunReport): boolean => newestLists.has(report.run.id);
  /** Null where nothing is to be pared: then nothing is written. */
  const reductions: ((report: RunReport) => RunReport | null)[] = [
    (report) => (report.log.length <= LOG_DROPPED.length ? null : { ...report, log: LOG_DROPPED }),
    (report) => (report.snapshots === null || isNewestList(report) ? null : { ...report, snapshots: null }),
    (report) =>
      report.run.plan === null && report.run.items === null
        ? null
        : { ...report, run: { ...report.run, plan: null, items: null } },
  ];
  for (const reduce of reductions) {
    for (const id of runs) {
      if (!usageOf(sizes, bounds).isTooHeavy) break;
      const entry = await keeping.read(id);
      const reduced = entry?.report.type === "run" ? reduce(entry.report) : null;
      if (entry !== null && reduced !== null) await keeping.put({ ...entry, report: reduced });
    }
  }
  let dropped = 0;
  for (const id of runs) {
    if (hasEnough()) break;
    await keeping.drop(id);
    dropped++;
  }
  return dropped;
}

const Dropped = z.object({ reports: z.int() });

/** Where it is written how many reports nobody will ever read, until a person has seen it. */
export function droppedFile({ spoolDir }: Pick<Paths, "spoolDir">): string {
  return join(spoolDir, "dropped.json");
}

export async function recordDropped(paths: Pick<Paths, "spoolDir">, reports: number): Promise<void> {
  const file = droppedFile(paths);
  await writeState(file, { reports: reports + (await droppedReports(paths)) });
}

export async function droppedReports(paths: Pick<Paths, "spoolDir">): Promise<number> {
  return (await readState(droppedFile(paths), Dropped))?.reports ?? 0;
}

const LOG_DROPPED = "(the log is not here: too much waited on the host to be reported)\n";

/** What may go, by its kind, the oldest first; and the runs whose list of a binding's snapshots is the newest there is. */
async function classifyEntries({
  sizes,
  read,
}: TrimInput): Promise<{ refusals: Id[]; runs: Id[]; newestLists: Set<Id> }> {
  const [refusals, runs]: [Id[], Id[]] = [[], []];
  const newest = new Map<Id | null, Id>();
  for (const id of [...sizes.keys()].toSorted()) {
    const entry = await read(id);
    if (entry === null) continue;
    const { report, after } = entry;
    if (report.type === "refusal") refusals.push(id);
    else if (isOver(report.run.state) && after === null) runs.push(id);
    if (report.type === "run" && report.snapshots !== null) newest.set(report.run.binding, id);
  }
  return { refusals, runs, newestLists: new Set(newest.values()) };
}

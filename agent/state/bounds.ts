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
 * A host with 300 daily bindings and their retention makes 600 reports a day: two weeks of them without a control
 * plane. A trimmed report has about 1 KiB, a whole one 10 KiB and more (docs/decisions/0034).
 */
export const BOUNDS: Bounds = { entries: 10_000, bytes: 64 << 20 };

const NEARLY_FULL = 0.8;
/** Trimmed to less than the limit, so that not every run has to trim again. */
const TRIM_TO = 0.9;

export function usageOf(
  sizes: ReadonlyMap<Id, number>,
  { entries, bytes }: Bounds,
): { isNearlyFull: boolean; isOver: boolean; isTooHeavy: boolean; isTooMany: boolean } {
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const exceeds = (part: number): boolean => sizes.size > entries * part || total > bytes * part;
  return {
    isNearlyFull: exceeds(NEARLY_FULL),
    isOver: exceeds(1),
    isTooHeavy: total > bytes * TRIM_TO,
    isTooMany: sizes.size > entries * TRIM_TO,
  };
}

export interface TrimInput {
  readonly bounds: Bounds;
  /** Bytes of each entry. `read`, `put` and `drop` keep it up to date. */
  readonly sizes: ReadonlyMap<Id, number>;
  read(id: Id): Promise<SpoolEntry | null>;
  put(entry: SpoolEntry): Promise<void>;
  drop(id: Id): Promise<void>;
}

/**
 * Trims the spool to its limits, oldest first: refusals, which are reported again anyway; then logs; then snapshot
 * lists that a newer report replaces; then plans and items. Whole reports of finished runs go last. Runs in progress
 * are never touched.
 * @returns how many run reports were dropped
 */
export async function trimSpool(input: TrimInput): Promise<number> {
  const { bounds, sizes } = input;
  if (!usageOf(sizes, bounds).isOver) return 0;
  const { refusals, runs, newestLists } = await classifyEntries(input);
  const isTooLong = sizes.size > bounds.entries;
  const hasEnough = (): boolean => {
    const { isTooHeavy, isTooMany } = usageOf(sizes, bounds);
    return !isTooHeavy && !(isTooLong && isTooMany);
  };
  for (const id of refusals) if (!hasEnough()) await input.drop(id);
  const isNewestList = (report: RunReport): boolean => newestLists.has(report.run.id);
  /** Each returns null when there is nothing to drop: then nothing is written. */
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
      const entry = await input.read(id);
      const reduced = entry?.report.type === "run" ? reduce(entry.report) : null;
      if (entry !== null && reduced !== null) await input.put({ ...entry, report: reduced });
    }
  }
  let dropped = 0;
  for (const id of runs) {
    if (hasEnough()) break;
    await input.drop(id);
    dropped++;
  }
  return dropped;
}

const Dropped = z.object({ reports: z.int() });

/** File with the number of dropped run reports, kept until a person removes it. */
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

const LOG_DROPPED = "(log dropped: too many reports were waiting on the host)\n";

/** What may be dropped, oldest first, and which run has the newest snapshot list of each binding. */
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

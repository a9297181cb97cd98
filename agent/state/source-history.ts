import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

const SourceSize = z.object({ files: z.int().min(0), bytes: z.int().min(0) });
/** How many files and bytes sources hold. */
export type SourceSize = z.infer<typeof SourceSize>;

/** Sizes and mounts of a binding's sources at its last runs, as measured by this host. */
const SourceHistory = z.object({
  of: z.string().default("").describe("the sources and patterns that were measured"),
  sizes: z.array(SourceSize).max(5).describe("newest last"),
  mounts: z.record(z.string(), z.string()).describe("by source: its mount point at the last good run"),
});
export type SourceHistory = z.infer<typeof SourceHistory>;

const MOST_SIZES = 5;

/** A missing or damaged history is empty: there is nothing to compare with. */
export async function readSourceHistory(paths: Pick<Paths, "state">, binding: Id): Promise<SourceHistory> {
  return (await readState(fileOf(paths, binding), SourceHistory)) ?? { of: "", sizes: [], mounts: {} };
}

export async function writeSourceHistory(
  paths: Pick<Paths, "state">,
  binding: Id,
  history: SourceHistory,
): Promise<void> {
  const kept = { ...history, sizes: history.sizes.slice(-MOST_SIZES) };
  await writeState(fileOf(paths, binding), kept);
}

function fileOf({ state }: Pick<Paths, "state">, binding: Id): string {
  return join(state, "sources", `${binding}.json`);
}

/** The median, for files and bytes each; null when there are no sizes. */
export function medianSize(sizes: readonly SourceSize[]): SourceSize | null {
  const middle = (of: (size: SourceSize) => number): number | undefined =>
    sizes.map(of).toSorted((one, other) => one - other)[sizes.length >> 1];
  const [files, bytes] = [middle((size) => size.files), middle((size) => size.bytes)];
  return files === undefined || bytes === undefined ? null : { files, bytes };
}

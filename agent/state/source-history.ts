import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../../shared/ids.ts";
import { excludeMatcher } from "../../shared/pattern-dialects.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

const SourceSize = z.object({ files: z.int().min(0), bytes: z.int().min(0) });
/** How much sources hold. */
export type SourceSize = z.infer<typeof SourceSize>;

/** What a binding's sources were like at its last runs, as this host saw it itself. */
const SourceHistory = z.object({
  of: z.string().default("").describe("the sources and patterns that the sizes are of"),
  sizes: z.array(SourceSize).max(5).describe("newest last"),
  mounts: z.record(z.string(), z.string()).describe("by source: the mount point it lay on at the last good run"),
});
export type SourceHistory = z.infer<typeof SourceHistory>;

const MOST_SIZES = 5;

/** One that is missing or damaged is an empty one: then there is nothing to compare with. */
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

/** The one in the middle, for files and bytes each; null when there is nothing to go by. */
export function medianSize(sizes: readonly SourceSize[]): SourceSize | null {
  const middle = (of: (size: SourceSize) => number): number | undefined =>
    sizes.map(of).toSorted((one, other) => one - other)[sizes.length >> 1];
  const [files, bytes] = [middle((size) => size.files), middle((size) => size.bytes)];
  return files === undefined || bytes === undefined ? null : { files, bytes };
}

/** Counts what the sources hold and the patterns leave in. What can't be looked into is not counted. */
export async function measureSources(
  sources: readonly string[],
  { excludes, signal }: { excludes: readonly string[]; signal: AbortSignal },
): Promise<SourceSize> {
  const size = { files: 0, bytes: 0 };
  const isLeftOut = excludeMatcher(excludes);
  const walk = async (path: string): Promise<void> => {
    signal.throwIfAborted();
    try {
      for await (const entry of await opendir(path)) {
        const inside = join(path, entry.name);
        if (isLeftOut(inside)) continue;
        if (entry.isDirectory()) await walk(inside);
        else await count(inside);
      }
    } catch {
      signal.throwIfAborted();
    }
  };
  const count = async (path: string): Promise<void> => {
    const stats = await lstat(path).catch(() => null);
    if (stats === null) return;
    size.files++;
    if (stats.isFile()) size.bytes += stats.size;
  };
  for (const source of sources) {
    const stats = await lstat(source).catch(() => null);
    if (stats?.isDirectory() === true) await walk(source);
    else await count(source);
  }
  return size;
}

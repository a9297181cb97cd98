import type { Level } from "../../shared/approval.ts";
import type { MadeSnapshot } from "../state/made-snapshots.ts";
import { isWithin } from "../policy/check.ts";
import type { ListedSnapshot } from "../providers/provider.ts";

/** What a snapshot holds, as far as it is known. */
export interface Held {
  readonly id: string;
  readonly takenAt: string;
  readonly tags: readonly string[];
  readonly paths: readonly string[];
  readonly files: number | null;
  readonly bytes: number | null;
}

/** Smaller losses are ignored: a new service changes a lot. */
const LEAST_FILES = 10;
const LEAST_BYTES = 1 << 20;

/** Joins what the repository lists with the sizes that this host remembers. Level "open" compares no sizes. */
export function heldBy({
  snapshots,
  made,
  level,
}: {
  snapshots: readonly ListedSnapshot[];
  made: readonly MadeSnapshot[];
  level: Level;
}): Held[] {
  const known = new Map(made.map((one) => [one.id, one]));
  return snapshots.map(({ id, takenAt, paths, bytesTotal, tags = [] }) => {
    if (level === "open") return { id, takenAt, paths, tags, files: null, bytes: null };
    const own = known.get(id);
    return { id, takenAt, paths, tags, files: own?.files ?? null, bytes: own?.bytes ?? bytesTotal };
  });
}

/** Whether all paths lie within paths of the other. */
export function coversPaths(other: Pick<Held, "paths">, { paths }: Pick<Held, "paths">): boolean {
  return paths.every((path) => other.paths.some((within) => isWithin(path, within)));
}

/** The most that a snapshot can hold and still be less than half of this one. Negative: none is. */
export function halfOf({ files, bytes }: Held): { files: number; bytes: number } {
  const half = (size: number | null, least: number): number =>
    size === null ? -1 : Math.min(Math.ceil(size / 2) - 1, size - least);
  return { files: half(files, LEAST_FILES), bytes: half(bytes, LEAST_BYTES) };
}

/** Whether one snapshot holds at least what the other holds, as far as its paths and size tell. */
export function covers(one: Held, other: Held): boolean {
  return coversPaths(one, other) && !isSmaller(one, halfOf(other));
}

export function isSmaller({ files, bytes }: Held, half: { files: number; bytes: number }): boolean {
  return (files !== null && files <= half.files) || (bytes !== null && bytes <= half.bytes);
}

import type { Shrinkage } from "../../shared/binding.ts";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { isWithin } from "../policy/check.ts";
import { mountPoints } from "../system/mounts.ts";
import { runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";
import { realPathIfExists } from "../system/real-path.ts";
import type { SnapshotContents } from "../providers/contents.ts";
import {
  readSourceHistory,
  type SourceHistory,
  type SourceSize,
  medianSize,
  writeSourceHistory,
} from "../state/source-history.ts";
import { type Measured, measureSources } from "./measure-sources.ts";

interface SourceCheckInput {
  readonly paths: Pick<Paths, "state">;
  readonly log: RunLog;
  readonly binding: Id;
  /** With symbolic links resolved. */
  readonly sources: readonly string[];
  readonly excludes: readonly string[];
  readonly mountPoints: readonly string[];
  readonly shrinkage: Shrinkage;
  readonly signal: AbortSignal;
  /** A person has checked, and confirmed that they are as they should be. */
  readonly isAccepted: boolean;
  /** The tool that is to store them. */
  readonly tool: Pick<SnapshotContents, "keeps" | "replacementChar">;
}

/** What the sources hold, compared with earlier runs. */
export interface SourceCheck {
  readonly measured: Measured;
  /** Why the sources look wrong although they may be stored; null when they do not. */
  readonly suspicion: string | null;
  /** Stores the current sizes and mounts for the next comparison. Called once something is stored. */
  record(): Promise<void>;
}

/** A check that may go on while the sources are stored. It fails only when the run is stopped. */
export interface StartedCheck {
  readonly ended: Promise<SourceCheck>;
}

/**
 * Checks whether the sources are all there: against the contract's mount points, before anything is stored, and against
 * this binding's earlier runs. That takes a walk through all of them, so it ends before anything is stored only where
 * shrunken sources must not be stored.
 * @throws `source.unmounted`, `source.shrunk`
 */
export async function startSourceCheck(input: SourceCheckInput): Promise<StartedCheck> {
  const mounted = mountPoints();
  await checkMountPoints(input.mountPoints, mounted);
  const history = await readSourceHistory(input.paths, input.binding);
  if (!input.isAccepted) checkKnownMounts(input.sources, { mounts: history.mounts, mounted });
  const ended = compareWithHistory(input, history, mounted);
  if (input.shrinkage.action === "fail") await ended;
  // Whoever waits for it later sees that it failed.
  ended.catch(() => undefined);
  return { ended };
}

async function compareWithHistory(
  input: SourceCheckInput,
  history: SourceHistory,
  mounted: ReadonlySet<string>,
): Promise<SourceCheck> {
  const { paths, binding, sources, shrinkage } = input;
  const measured = await measureSources(sources, input);
  const { size } = measured;
  const mounts = Object.fromEntries(sources.map((source) => [source, mountPointOf(source, mounted)]));
  // When the contract's sources or patterns have changed, there is nothing to compare with.
  const of = JSON.stringify([sources, input.excludes]);
  const before = input.isAccepted || history.of !== of ? [] : history.sizes;
  const usual = medianSize(before);
  const suspicion = usual === null ? null : describeShrinkage({ usual, size, percent: shrinkage.percent });
  const sizes = [...before, size];
  if (suspicion !== null && shrinkage.action === "fail") {
    // The size is recorded anyway: if it stays, it becomes the new normal.
    await writeSourceHistory(paths, binding, { ...history, of, sizes });
    throw runError("source.shrunk", suspicion);
  }
  return { measured, suspicion, record: () => writeSourceHistory(paths, binding, { of, sizes, mounts }) };
}

async function checkMountPoints(declared: readonly string[], mounted: ReadonlySet<string>): Promise<void> {
  const missing: string[] = [];
  for (const path of declared) {
    const place = (await realPathIfExists(path)) ?? path;
    if (!mounted.has(place === "/" ? place : place.replace(/\/+$/, ""))) missing.push(path);
  }
  if (missing.length > 0) throw runError("source.unmounted", `${missing.join(", ")}: nothing is mounted there`);
}

function checkKnownMounts(
  sources: readonly string[],
  { mounts, mounted }: { mounts: Readonly<Record<string, string>>; mounted: ReadonlySet<string> },
): void {
  for (const source of sources) {
    const before = mounts[source];
    if (before === undefined || before === "/" || mounted.has(before)) continue;
    throw runError(
      "source.unmounted",
      `${source} was on the filesystem mounted at ${before}, and nothing is mounted there now`,
      "Mount it, then run again. If it has moved on purpose: `holdfast-agent backup BINDING --accept-sources`.",
    );
  }
}

function mountPointOf(source: string, mounted: ReadonlySet<string>): string {
  let longest = "/";
  for (const point of mounted) if (isWithin(source, point) && point.length > longest.length) longest = point;
  return longest;
}

/** Smaller losses are ignored: a new service changes a lot. */
const LEAST_FILES = 10;
const LEAST_BYTES = 1 << 20;

function describeShrinkage({
  usual,
  size,
  percent,
}: {
  usual: SourceSize;
  size: SourceSize;
  percent: number | null;
}): string | null {
  if (percent === null) return null;
  const hasShrunk = (before: number, now: number, least: number): boolean =>
    before - now >= least && (before - now) * 100 >= before * percent;
  const files = hasShrunk(usual.files, size.files, LEAST_FILES);
  if (!files && !hasShrunk(usual.bytes, size.bytes, LEAST_BYTES)) return null;
  const text = ({ files: count, bytes }: SourceSize): string => `${count} files of ${bytes} bytes`;
  return `the sources hold ${text(size)}, and usually ${text(usual)}`;
}

import { join } from "node:path";
import * as z from "zod";
import { CLOCK_WRONG_MS } from "../../shared/clock-skew.ts";
import { type Id, Instant, instant } from "../../shared/ids.ts";
import type { RunStats, SnapshotFacts } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import { bootId } from "../system/process/process-ref.ts";
import { peekState, quarantine, writeState } from "../system/state-file.ts";

const count = z.int().min(0).nullable();

/** A snapshot that a good backup of this host made. */
const MadeSnapshot = z.strictObject({
  id: z.string(),
  at: Instant.describe("by the host's clock when it was made, not by the repository"),
  files: count,
  bytes: count.describe("both as the backup counted them; null: not known"),
});
export type MadeSnapshot = z.infer<typeof MadeSnapshot>;

const MadeSnapshots = z.strictObject({
  snapshots: z.array(MadeSnapshot).describe("in the order they were made"),
  isComplete: z.boolean().describe("false: those made before this file was begun are still to be listed"),
  wasDamaged: z.boolean().describe("the file before this one could not be read"),
  newest: z
    .strictObject({ boot: z.string(), uptimeMs: z.number() })
    .nullable()
    .describe("how long the machine had been running when the newest was made; null: not known"),
});
export type MadeSnapshots = z.infer<typeof MadeSnapshots>;

const NOTHING: MadeSnapshots = { snapshots: [], isComplete: false, wasDamaged: false, newest: null };

/** Older ones are thinned out to the last of each day, and those to the newest 3,000. */
const WHOLE = 1000;
const MOST_DAYS = 3000;

/** Which repository: the id that the engine gave it, so that the control plane can't make it another one. */
interface Subject {
  readonly binding: Id;
  readonly engineId: string;
}

interface MemoryDeps {
  readonly paths: Pick<Paths, "bindingsDir">;
  readonly clock: { now(): number };
  /** Ms since the machine was started. */
  readonly uptime?: () => number;
}

/**
 * What this host remembers of a binding's good snapshots in one repository: what a repository says of itself is not
 * believed where something could be removed for it. A damaged file is set aside and treated as not yet begun.
 */
export async function readMade(paths: Pick<Paths, "bindingsDir">, subject: Subject): Promise<MadeSnapshots> {
  const file = fileOf(paths, subject);
  const found = await peekState(file, MadeSnapshots);
  if (found !== "damaged") return found === "none" ? NOTHING : found.value;
  await quarantine(file);
  const begun = { ...NOTHING, wasDamaged: true };
  await writeState(file, begun);
  return begun;
}

/** Called with the snapshot of every succeeded or warned backup. */
export async function recordMade(
  deps: MemoryDeps,
  { snapshot, stats, ...subject }: Subject & { snapshot: string; stats: RunStats | null },
): Promise<void> {
  const made = await readMade(deps.paths, subject);
  const { at, newest } = timeOf(deps, made);
  const one = { id: snapshot, at, files: stats?.filesTotal ?? null, bytes: stats?.bytesTotal ?? null };
  const others = made.snapshots.filter(({ id }) => id !== snapshot);
  await writeMade(deps.paths, subject, { ...made, snapshots: [...others, one], newest });
}

export async function writeMade(
  paths: Pick<Paths, "bindingsDir">,
  subject: Subject,
  made: MadeSnapshots,
): Promise<void> {
  await writeState(fileOf(paths, subject), { ...made, snapshots: thinOut(made.snapshots) });
}

/**
 * Adds what the repository lists of the time before the host kept this file. Only then the repository's word is taken,
 * once; what is dated in the future is left out.
 */
export function completeMade(made: MadeSnapshots, listed: readonly SnapshotFacts[], now: number): MadeSnapshots {
  if (made.isComplete) return made;
  const known = new Set(made.snapshots.map(({ id }) => id));
  const earlier = listed
    .filter(({ id, takenAt }) => !known.has(id) && Date.parse(takenAt) <= now)
    .toSorted((one, other) => (one.takenAt < other.takenAt ? -1 : 1))
    .map(({ id, takenAt, bytesTotal }) => ({ id, at: takenAt, files: null, bytes: bytesTotal }));
  return { ...made, snapshots: [...earlier, ...made.snapshots], isComplete: true, wasDamaged: false };
}

/**
 * Adds what the repository lists and this host did not know, as made now: of the snapshots of another host, whose
 * repository it maintains, it knows only when it first saw them.
 */
export function addSeen(deps: MemoryDeps, made: MadeSnapshots, listed: readonly SnapshotFacts[]): MadeSnapshots {
  const known = new Set(made.snapshots.map(({ id }) => id));
  const thinned = made.snapshots.at(-WHOLE)?.at ?? "";
  const { at, newest } = timeOf(deps, made);
  const seen = listed
    .filter(({ id, takenAt }) => !known.has(id) && takenAt >= thinned)
    .toSorted((one, other) => (one.takenAt < other.takenAt ? -1 : 1))
    .map(({ id, bytesTotal }) => ({ id, at, files: null, bytes: bytesTotal }));
  return seen.length === 0 ? made : { ...made, snapshots: [...made.snapshots, ...seen], newest };
}

function timeOf(deps: MemoryDeps, made: MadeSnapshots): { at: Instant; newest: MadeSnapshots["newest"] } {
  const uptimeMs = deps.uptime?.();
  const newest = uptimeMs === undefined ? null : { boot: bootId(), uptimeMs };
  return { at: instant(madeAt(made, { wallMs: deps.clock.now(), now: newest })), newest };
}

/**
 * The clock's time, unless it has gone differently from the time since the machine was started: who can set the clock
 * could otherwise make a week of snapshots in a minute.
 */
function madeAt(
  { snapshots, newest }: MadeSnapshots,
  { wallMs, now }: { wallMs: number; now: MadeSnapshots["newest"] },
): number {
  const last = snapshots.at(-1);
  if (last === undefined || newest === null || now === null || newest.boot !== now.boot) return wallMs;
  const expectedMs = Date.parse(last.at) + now.uptimeMs - newest.uptimeMs;
  return Math.abs(wallMs - expectedMs) <= CLOCK_WRONG_MS ? wallMs : expectedMs;
}

function thinOut(snapshots: readonly MadeSnapshot[]): MadeSnapshot[] {
  const dayOf = (one: MadeSnapshot | undefined): string | undefined => one?.at.slice(0, 10);
  const [older, whole] = [snapshots.slice(0, -WHOLE), snapshots.slice(-WHOLE)];
  const days = older.filter((one, index) => dayOf(one) !== dayOf(older[index + 1]));
  return [...days.slice(-MOST_DAYS), ...whole];
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, { binding, engineId }: Subject): string {
  return join(bindingsDir, `${binding}.made-${engineId.slice(0, 16)}.json`);
}

import { join } from "node:path";
import * as z from "zod";
import { type Id, Instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { Deferral, extendWhileRunning } from "./deferral.ts";
import { peekState, quarantine, writeState } from "../system/state-file.ts";

const UpkeepState = z.strictObject({
  nextPart: z.int().min(1).describe("of the data, to be read by the next check"),
  damagedSince: Instant.nullable().describe("since when checks find damage; null: the last one found none"),
  prune: Deferral.nullable(),
  check: Deferral.nullable(),
  isForgotten: z.boolean().default(false).describe("the file was damaged: the result of the last check is not known"),
});
export type UpkeepState = z.infer<typeof UpkeepState>;

export type UpkeepKind = "prune" | "check";

const FRESH: UpkeepState = { nextPart: 1, damagedSince: null, prune: null, check: null, isForgotten: false };

/** State of a repository's upkeep on this host. A damaged file is replaced by one that says so. */
export async function readUpkeep(paths: Pick<Paths, "repositoriesDir">, repository: Id): Promise<UpkeepState> {
  const file = fileOf(paths, repository);
  const found = await peekState(file, UpkeepState);
  if (found !== "damaged") return found === "none" ? FRESH : found.value;
  await quarantine(file);
  const forgotten = { ...FRESH, isForgotten: true };
  await writeState(file, forgotten);
  return forgotten;
}

export async function changeUpkeep(
  paths: Pick<Paths, "repositoriesDir">,
  repository: Id,
  change: Partial<UpkeepState>,
): Promise<void> {
  const state = { ...(await readUpkeep(paths, repository)), ...change };
  await writeState(fileOf(paths, repository), state);
}

/** When a deferred run is tried again, in ms; null when none is deferred. */
export async function upkeepDeferredUntil(
  paths: Pick<Paths, "repositoriesDir">,
  { kind, repository }: { kind: UpkeepKind; repository: { id: Id } },
): Promise<number | null> {
  const deferral = (await readUpkeep(paths, repository.id))[kind];
  return deferral === null ? null : Date.parse(deferral.againAt);
}

/**
 * Pushes the next attempt back while the run is in progress, so that it does not start twice even if this process dies.
 */
export async function markUpkeepRetry(
  { paths, clock }: { paths: Pick<Paths, "repositoriesDir">; clock: { now(): number } },
  { kind, repository }: { kind: UpkeepKind; repository: { id: Id } },
): Promise<void> {
  const deferral = (await readUpkeep(paths, repository.id))[kind];
  if (deferral === null) return;
  await changeUpkeep(paths, repository.id, { [kind]: extendWhileRunning(deferral, clock.now()) });
}

function fileOf(paths: Pick<Paths, "repositoriesDir">, repository: Id): string {
  return join(paths.repositoriesDir, `${repository}.upkeep.json`);
}

import { join } from "node:path";
import * as z from "zod";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { QUARANTINE_SUFFIX, isQuarantined, readState, writeState } from "../system/state-file.ts";

/** Repositories that this host has known as append-only, by place and by the engine id: places have many names. */
const AppendOnly = z.strictObject({ locations: z.array(z.string()), engineIds: z.array(z.string()) });
type AppendOnly = z.infer<typeof AppendOnly>;

interface Subject {
  readonly location: string;
  /** Null before the repository was opened. */
  readonly engineId: string | null;
}

/** Whether the repository was append-only for this host before. Throws RunError when the record of it was damaged. */
export async function wasAppendOnly(paths: Pick<Paths, "state">, { location, engineId }: Subject): Promise<boolean> {
  const { locations, engineIds } = await read(paths);
  return locations.includes(location) || (engineId !== null && engineIds.includes(engineId));
}

/** Durable when it returns: it stays append-only for this host, whatever an assignment says later. */
export async function rememberAppendOnly(paths: Pick<Paths, "state">, { location, engineId }: Subject): Promise<void> {
  const { locations, engineIds } = await read(paths);
  const next: AppendOnly = {
    locations: added(locations, location),
    engineIds: engineId === null ? engineIds : added(engineIds, engineId),
  };
  if (next.locations === locations && next.engineIds === engineIds) return;
  await writeState(fileOf(paths), next);
}

/** The same list when it is in it already. */
function added(list: string[], entry: string): string[] {
  return list.includes(entry) ? list : [...list, entry];
}

async function read(paths: Pick<Paths, "state">): Promise<AppendOnly> {
  const file = fileOf(paths);
  const stored = await readState(file, AppendOnly);
  if (stored !== null) return stored;
  if (!(await isQuarantined(file))) return { locations: [], engineIds: [] };
  throw runError(
    "host.failed",
    `${file}, the record of append-only repositories, was damaged: nothing is removed`,
    `Say in policy.json which repositories are append-only (appendOnly), then remove ${file}${QUARANTINE_SUFFIX}.`,
  );
}

function fileOf({ state }: Pick<Paths, "state">): string {
  return join(state, "append-only.json");
}

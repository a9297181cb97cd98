import { join } from "node:path";
import * as z from "zod";
import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { QUARANTINE_SUFFIX, isQuarantined, readState, writeState } from "../system/state-file.ts";

const StoredEngineId = z.object({ engineId: z.string().min(1), location: z.string() });

/**
 * The ids this repository is known by, to this host and to the control plane. None: it was never used. When the host's
 * file was damaged and the control plane knows no id, that is an error, never "none": the answer decides whether a
 * repository may be created.
 */
export async function knownEngineIds(
  paths: Pick<Paths, "repositoriesDir">,
  repository: AssignedRepository,
): Promise<string[]> {
  const file = fileOf(paths, repository.id);
  const stored = await readState(file, StoredEngineId);
  const known = repository.engineId === null ? [] : [repository.engineId];
  if (stored !== null) return [stored.engineId, ...known];
  if (known.length > 0 || !(await isQuarantined(file))) return known;
  throw runError(
    "host.failed",
    `${file}, the record of repository "${repository.name}", was damaged`,
    `Look at ${repository.location} with the tool itself; if it is the right repository, remove ${file}${QUARANTINE_SUFFIX}.`,
  );
}

/** Durable when it returns: from now on the repository is never created again. */
export async function storeEngineId(
  paths: Pick<Paths, "repositoriesDir">,
  repository: AssignedRepository,
  engineId: string,
): Promise<void> {
  await writeState(fileOf(paths, repository.id), { engineId, location: repository.location });
}

function fileOf(paths: Pick<Paths, "repositoriesDir">, id: Id): string {
  return join(paths.repositoriesDir, `${id}.json`);
}

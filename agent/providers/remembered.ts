import { join } from "node:path";
import * as z from "zod";
import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { readTextIfThere, writeFileAtomically } from "../files.ts";
import { runError } from "../runner/failure.ts";

const Remembered = z.object({ engineId: z.string().min(1), location: z.string() });

/**
 * The ids this repository is known by: what this host remembers, and what the control plane does. None: it was never seen.
 * A file that can't be read is an error, never a "no": the answer decides whether a repository may be created.
 */
export async function knownEngineIds(
  paths: Pick<Paths, "repositoriesDir">,
  repository: AssignedRepository,
): Promise<string[]> {
  const file = fileOf(paths, repository.id);
  const text = await readTextIfThere(file);
  const known = repository.engineId === null ? [] : [repository.engineId];
  if (text === null) return known;
  try {
    return [Remembered.parse(JSON.parse(text)).engineId, ...known];
  } catch {
    throw runError(
      "host.failed",
      `${file}, which remembers repository "${repository.name}", is damaged`,
      `Look at the repository with \`holdfast-agent exec BINDING -- snapshots\`; if it is the right one, remove ${file}.`,
    );
  }
}

/** Durable when it returns: from now on the repository is never created again. */
export async function rememberEngineId(
  paths: Pick<Paths, "repositoriesDir">,
  repository: AssignedRepository,
  engineId: string,
): Promise<void> {
  const text = JSON.stringify({ engineId, location: repository.location });
  await writeFileAtomically(fileOf(paths, repository.id), `${text}\n`);
}

function fileOf(paths: Pick<Paths, "repositoriesDir">, id: Id): string {
  return join(paths.repositoriesDir, `${id}.json`);
}

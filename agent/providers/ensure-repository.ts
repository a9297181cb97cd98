import { lchown, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { isLocalLocation } from "../../shared/location.ts";
import { namesIn } from "../../shared/node/files.ts";
import { type RunError, runError } from "../run-error.ts";
import { isCode } from "../system/descriptors.ts";
import { canWriteIn, makeAs } from "../system/passage.ts";
import type { Access } from "./provider.ts";
import { knownEngineIds, storeEngineId } from "./engine-ids.ts";

/** How an engine reads a repository's id and creates a repository. */
export interface RepositoryOperations {
  /** @returns null only when the engine clearly reports that there is no repository */
  readId(): Promise<string | null>;
  create(): Promise<void>;
  /** Whether a name in a directory is part of one of the engine's repositories. */
  isPart(name: string): boolean;
}

/**
 * Makes sure the repository exists and is the expected one. Creates it only when allowed and the engine clearly reports
 * that there is none; its id is stored before anything is backed up.
 * @returns the engine id. Throws RunError
 */
export async function ensureRepository(
  access: Access,
  { mayCreate, ...tool }: RepositoryOperations & { mayCreate: boolean },
): Promise<string> {
  const { paths, repository, log } = access;
  const known = await knownEngineIds(paths, repository);
  const found = await tool.readId();
  if (found !== null) {
    assertSameRepository(access, { found, known });
    await storeEngineId(paths, repository, found);
    return found;
  }
  assertMayCreate(access, { known, mayCreate });
  if (isLocalLocation(repository.location)) await makeDirectory(access, tool);
  log.line(`creating repository "${repository.name}" at ${repository.location}`);
  await tool.create();
  const created = await tool.readId();
  if (created === null)
    throw runError("repository.missing", `repository "${repository.name}" is gone right after its creation`);
  await storeEngineId(paths, repository, created);
  return created;
}

/** The error for a repository that did not answer in time. @param output the engine's output until then */
export function timeoutError({ repository, timeouts }: Access, output: string): RunError {
  return runError(
    "repository.unreachable",
    `the repository at ${repository.location} did not answer within ${timeouts.openMs / 1000} s: ${output}`,
  );
}

function assertSameRepository({ repository }: Access, { found, known }: { found: string; known: string[] }): void {
  const expected = known.find((id) => id !== found);
  if (expected === undefined) return;
  throw runError(
    "repository.swapped",
    `the repository at ${repository.location} is ${short(found)}, but "${repository.name}" is ${short(expected)}`,
  );
}

function assertMayCreate({ repository }: Access, { known, mayCreate }: { known: string[]; mayCreate: boolean }): void {
  const { name, location, existing } = repository;
  const [expected] = known;
  if (expected !== undefined) {
    throw runError("repository.missing", `repository "${name}" (${short(expected)}) is not at ${location} any more`);
  }
  if (existing) {
    throw runError(
      "repository.missing",
      `there is no repository at ${location}, but "${name}" is configured as existing`,
    );
  }
  if (mayCreate) return;
  throw runError(
    "repository.missing",
    `there is no repository at ${location} yet: the first backup to "${name}" creates it`,
    "Run the binding's first backup.",
  );
}

/** Creates the repository's directory, owned by the run's user: its parent may be root's. */
async function makeDirectory(
  { paths, repository, user }: Access,
  { isPart }: Pick<RepositoryOperations, "isPart">,
): Promise<void> {
  const { location } = repository;
  const parts = (await namesIn(location)).filter(isPart);
  if (parts.length > 0) {
    throw runError(
      "repository.missing",
      `${location} holds ${parts.join(", ")} of a repository, but no readable config: it is damaged, not new`,
      "Restore the missing files of the repository, or name an empty directory.",
    );
  }
  await mkdir(dirname(location), { recursive: true, mode: 0o755 });
  // Where the directory above is the user's, he could put a link in its place: root would give him what it leads to.
  if (user.needsSwitch && (await canWriteIn(user, dirname(location), paths.state))) {
    await makeAs(user, location, paths.state);
    return;
  }
  try {
    await mkdir(location, { mode: 0o700 });
  } catch (error) {
    if (isCode(error, "EEXIST")) return;
    throw error;
  }
  if (user.needsSwitch) await lchown(location, user.uid, user.gid);
}

function short(id: string): string {
  return id.slice(0, 8);
}

import { chown, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { isMissing } from "../files.ts";
import { RunError, runError } from "../runner-failure.ts";
import type { Access } from "./provider.ts";
import { knownEngineIds, rememberEngineId } from "./remembered.ts";
import type { ResticRunner } from "./restic-command.ts";
import { resticFailure, saysAbsent } from "./restic-failures.ts";

const Config = z.object({ id: z.string().regex(/^[0-9a-f]{64}$/) });

/** What a directory holds that is, or was, a repository of restic. */
const REPOSITORY_PARTS = ["config", "data", "index", "keys", "locks", "snapshots"];

/**
 * Finds out which repository is there, and that it is the one that is meant. One that was never seen is created when it
 * may be: on a clear "there is none" only, once, and its id is remembered before anything is stored in it.
 * @returns the repository's own id. Throws RunError
 */
export async function identify(runner: ResticRunner, { mayCreate }: { mayCreate: boolean }): Promise<string> {
  const { paths, repository } = runner.access;
  const known = await knownEngineIds(paths, repository);
  const found = await readId(runner);
  if (found !== null) {
    refuseStranger(runner.access, { found, known });
    await rememberEngineId(paths, repository, found);
    return found;
  }
  refuseToCreate(runner.access, { known, mayCreate });
  await create(runner);
  const created = await readId(runner);
  if (created === null)
    throw runError("repository.missing", `repository "${repository.name}" is gone right after its creation`);
  await rememberEngineId(paths, repository, created);
  return created;
}

function refuseStranger({ repository }: Access, { found, known }: { found: string; known: string[] }): void {
  const expected = known.find((id) => id !== found);
  if (expected === undefined) return;
  throw runError(
    "repository.swapped",
    `the repository at ${repository.location} is ${short(found)}, but "${repository.name}" is ${short(expected)}`,
  );
}

function refuseToCreate({ repository }: Access, { known, mayCreate }: { known: string[]; mayCreate: boolean }): void {
  const { name, location, existing } = repository;
  const [expected] = known;
  if (expected !== undefined) {
    throw runError("repository.missing", `repository "${name}" (${short(expected)}) is not at ${location} any more`);
  }
  if (existing) {
    throw runError(
      "repository.missing",
      `there is no repository at ${location}, and "${name}" was said to exist already`,
    );
  }
  if (mayCreate) return;
  throw runError(
    "repository.missing",
    `there is no repository at ${location} yet: the first backup to "${name}" creates it`,
    "Run the binding's first backup.",
  );
}

/** @returns null only when restic says without a doubt that there is none */
async function readId(runner: ResticRunner): Promise<string | null> {
  const { restic, access } = runner;
  let text = "";
  const ended = await runner.call({
    args: ["cat", "config", "--no-lock"],
    timeLimitMs: access.patience.openMs,
    onStdout: (line) => (text += line),
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0) return idOf(text);
  if (saysAbsent(restic, ended)) return null;
  if (ended.timedOut) {
    throw runError(
      "repository.unreachable",
      `the repository at ${access.repository.location} did not answer within ${access.patience.openMs / 1000} s`,
    );
  }
  throw new RunError(resticFailure(restic, ended, { what: "cat config", redact: access.log.redact }));
}

function idOf(text: string): string {
  try {
    return Config.parse(JSON.parse(text)).id;
  } catch {
    throw runError("engine.failed", "restic cat config: its answer can't be read");
  }
}

async function create(runner: ResticRunner): Promise<void> {
  const { restic, access } = runner;
  const { repository, log } = access;
  if (repository.location.startsWith("/")) await makeDirectory(access);
  log.line(`creating repository "${repository.name}" at ${repository.location}`);
  const ended = await runner.call({ args: ["init"], timeLimitMs: access.patience.openMs });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(resticFailure(restic, ended, { what: "init", redact: log.redact }));
}

/** The run's user needs a directory of its own, in a parent that may be root's. */
async function makeDirectory({ repository, user }: Access): Promise<void> {
  const { location } = repository;
  const parts = await leftoverParts(location);
  if (parts.length > 0) {
    throw runError(
      "repository.missing",
      `${location} holds ${parts.join(", ")} of a repository, but no readable config: it is damaged, not new`,
      "Restore the missing files of the repository, or name an empty directory.",
    );
  }
  await mkdir(dirname(location), { recursive: true, mode: 0o755 });
  try {
    await mkdir(location, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return;
    throw error;
  }
  if (user.isAnother) await chown(location, user.uid, user.gid);
}

async function leftoverParts(location: string): Promise<string[]> {
  try {
    const names = await readdir(join(location));
    return names.filter((name) => REPOSITORY_PARTS.includes(name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function short(id: string): string {
  return id.slice(0, 8);
}

import { chmod, chown, copyFile, mkdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { constants, existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { AssignedContract, RestoreRequest } from "../../shared/assignment.ts";
import type { RestoredItem, SnapshotFacts } from "../../shared/run.ts";
import { checkLoad, loadDump } from "../consistency/dumps.ts";
import type { CommandContext } from "../consistency/run-command.ts";
import type { MariadbEntry, PostgresEntry } from "../consistency/servers.ts";
import { syncDirectory } from "../../shared/node/files.ts";
import { checkConsistency, isWithin } from "../policy/check.ts";
import type { Policy } from "../policy/policy.ts";
import type { Access, OpenRepository } from "../providers/provider.ts";
import { restoreFiles } from "./files.ts";
import { RunError, runError } from "../run-error.ts";
import { Manifest, MANIFEST, type StagedDump, type StagedSqlite } from "../consistency/staging.ts";
import { realPathIfExists, realPathSoFar } from "../system/real-path.ts";
import type { Paths } from "../config.ts";
import { refuseProtected } from "../policy/protected.ts";

type Files = Extract<AssignedContract, { kind: "files" }>;

interface StagedInput {
  readonly repository: OpenRepository;
  readonly access: Access;
  readonly snapshot: SnapshotFacts;
  /** The binding that made the snapshot. */
  readonly binding: string;
  /** A temporary directory of the agent's own. */
  readonly work: string;
}

/** The database copies and dumps of a snapshot, fetched for a restore. */
export interface StagedRestore {
  /** Their directory in the snapshot. */
  readonly path: string;
  readonly manifest: Manifest;
  readonly directory: string;
}

/**
 * Fetches the snapshot's database copies and dumps into `work`, which the caller removes.
 * @returns null when the snapshot has none. Throws RunError
 */
export async function fetchStaged({
  repository,
  access,
  snapshot,
  binding,
  work,
}: StagedInput): Promise<StagedRestore | null> {
  const path = snapshot.paths.find((one) => one.endsWith(`/staging/${binding}`));
  if (path === undefined) return null;
  await mkdir(work, { recursive: true, mode: 0o700 });
  const { failure } = await restoreFiles(repository, access, {
    isOwnTarget: true,
    named: [],
    snapshot: snapshot.id,
    target: work,
    include: [path],
    excludes: [],
    overwrite: "always",
    delete: false,
    dryRun: false,
    verify: false,
    onProgress: () => undefined,
    beforeWriting: async () => undefined,
  });
  // A partial copy is useless.
  if (failure !== null) throw new RunError(failure);
  const directory = join(work, path);
  try {
    const manifest = Manifest.parse(JSON.parse(await readFile(join(directory, MANIFEST), "utf8")));
    return { path, manifest, directory };
  } catch {
    throw runError("restore.incomplete", "the snapshot's own list of its databases can't be read");
  }
}

/** The paths the engine itself restores: a copied database is not in the snapshot under its own path. */
export async function excludeStaged(paths: readonly string[], { manifest }: StagedRestore): Promise<string[]> {
  const copied = new Set<string>();
  for (const { path } of manifest.sqlite) copied.add(path).add((await realPathIfExists(path)) ?? path);
  return paths.filter((path) => !copied.has(path));
}

/** Throws what would keep the dumps from being loaded in place, before anything is written. */
export async function checkStaged(
  context: CommandContext,
  { staged, contract, policy }: Pick<RestoreStagedInput, "staged" | "contract" | "policy">,
): Promise<void> {
  for (const dump of staged.manifest.dumps) await checkLoad(context, findEntry(dump, { contract, policy }));
}

interface RestoreStagedInput {
  readonly paths: Paths;
  readonly staged: StagedRestore;
  readonly contract: Files;
  readonly policy: Policy;
  readonly restore: Pick<RestoreRequest, "target" | "include" | "overwrite" | "dryRun">;
}

/**
 * Restores copies and loads dumps in place, or writes all of it below the target. In place, only what the contract
 * names now: a snapshot's manifest gives no permission to write.
 * @returns what was done, or would be; warnings: what is not as the snapshot has it
 * @throws `database.failed`, PolicyError
 */
export async function restoreStaged(
  context: CommandContext,
  input: RestoreStagedInput,
): Promise<{ items: RestoredItem[]; warnings: string[] }> {
  const { staged, contract, policy, restore } = input;
  const { manifest, directory } = staged;
  const { target, include, overwrite, dryRun } = restore;
  const isWanted = (path: string): boolean => include.length === 0 || include.some((one) => isWithin(path, one));
  const items: RestoredItem[] = [];
  const warnings: string[] = [];
  for (const copy of manifest.sqlite.filter(({ path }) => isWanted(path))) {
    const place = target === null ? destinationOf(copy, input) : placeBelow(target, copy.path);
    const isThere = existsSync(place);
    if (overwrite === "never" && isThere) continue;
    items.push({ path: copy.path, action: isThere ? "update" : "create" });
    if (dryRun) continue;
    context.log.line(`putting the SQLite database back to ${place}`);
    await replaceDatabase(copy, { from: join(directory, "sqlite", copy.file), place });
  }
  // A database is restored as a whole, and only with everything else.
  for (const dump of include.length === 0 ? manifest.dumps : []) {
    const file = join(directory, "dumps", dump.file);
    items.push({ path: `${dump.server}: ${dump.database ?? "accounts"}`, action: "update" });
    if (dryRun) continue;
    if (target === null)
      warnings.push(...(await loadDump(context, { entry: findEntry(dump, { contract, policy }), dump, file })));
    else await copyDump(file, placeBelow(target, join("/databases", dump.file)));
  }
  return { items, warnings };
}

/** Removes the staging directory that the engine has restored below the target: nobody looks for its files there. */
export async function removeStagingFrom(target: string, { path }: StagedRestore): Promise<void> {
  await rm(join(target, path), { recursive: true, force: true });
  for (let parent = dirname(path); parent !== "/"; parent = dirname(parent)) {
    const isEmptied = await rmdir(join(target, parent)).then(
      () => true,
      () => false,
    );
    if (!isEmptied) return;
  }
}

/** Throws RunError when a symbolic link in the target leads out of it. @param target behind all links itself */
function placeBelow(target: string, path: string): string {
  const place = join(target, path);
  if (realPathSoFar(dirname(place)) === dirname(place)) return place;
  throw runError("restore.incomplete", `a directory above ${place} is a symbolic link: nothing is written through it`);
}

function destinationOf({ path }: StagedSqlite, { contract, policy, paths }: RestoreStagedInput): string {
  const entry = contract.consistency.find((one) => "sqlite" in one && one.sqlite === path);
  if (entry === undefined) throw notInContractError(path);
  checkConsistency(policy, entry);
  // Also where there is no database yet: its directory may be a link that somebody else made.
  const place = realPathSoFar(path);
  checkConsistency(policy, { sqlite: place });
  refuseProtected(paths, place);
  return place;
}

function findEntry(
  dump: StagedDump,
  { contract, policy }: { contract: Files; policy: Policy },
): PostgresEntry | MariadbEntry {
  const fits = (name: string): boolean => name === "*" || name === dump.database;
  for (const entry of contract.consistency) {
    const isIt =
      dump.server === "postgres"
        ? "postgres" in entry && fits(entry.postgres)
        : "mariadb" in entry && fits(entry.mariadb);
    if (!isIt || !("postgres" in entry || "mariadb" in entry)) continue;
    checkConsistency(policy, entry);
    return entry;
  }
  throw notInContractError(`the ${dump.server} database "${dump.database ?? "accounts"}"`);
}

function notInContractError(what: string): RunError {
  return runError(
    "restore.incomplete",
    `the snapshot holds ${what}, which the contract's consistency does not name any more`,
    "Restore to a directory, with a target, or name it in the contract again.",
  );
}

/**
 * Replaces a database as a whole or not at all: a copy is written next to the old one first. SQLite's files next to the
 * old one are removed before the rename: they would be applied to the new one.
 */
async function replaceDatabase(copy: StagedSqlite, { from, place }: { from: string; place: string }): Promise<void> {
  await mkdir(dirname(place), { recursive: true });
  const draft = join(dirname(place), `.${basename(place)}.holdfast-${process.pid}`);
  try {
    await copyFile(from, draft, constants.COPYFILE_EXCL);
    if (process.getuid?.() === 0) await chown(draft, copy.uid, copy.gid);
    await chmod(draft, copy.mode);
    await syncDirectory(draft);
    for (const ending of ["-wal", "-shm", "-journal"]) await rm(place + ending, { force: true });
    await rename(draft, place);
    await syncDirectory(dirname(place));
  } finally {
    await rm(draft, { force: true });
  }
}

async function copyDump(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await rm(to, { force: true });
  await copyFile(from, to, constants.COPYFILE_EXCL);
}

import { rmdirSync } from "node:fs";
import { mkdir, readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { AssignedContract, RestoreRequest } from "../../shared/assignment.ts";
import type { RestoredItem, SnapshotFacts } from "../../shared/run.ts";
import { checkLoad, loadDump } from "../consistency/dumps.ts";
import type { CommandContext } from "../consistency/run-command.ts";
import type { MariadbEntry, PostgresEntry } from "../consistency/servers.ts";
import { checkConsistency, isWithin } from "../policy/check.ts";
import type { Policy } from "../policy/policy.ts";
import type { Access, OpenRepository } from "../providers/provider.ts";
import type { Aside } from "./aside.ts";
import { lstat } from "./disk.ts";
import { copyDump, replaceDatabase } from "./put-database.ts";
import { restoreFiles } from "./files.ts";
import { entryOf, isCode, openDirectory, removeTree, withDirectory } from "../system/descriptors.ts";
import { RunError, runError } from "../run-error.ts";
import { Manifest, MANIFEST, type StagedDump, type StagedSqlite } from "../consistency/staging.ts";
import { realPathIfExists } from "../system/real-path.ts";
import { realPathByOurLinks } from "./ours.ts";
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
  const target = await realpath(work);
  const { failure } = await restoreFiles(repository, access, {
    aside: null,
    isTargetClosed: true,
    named: [],
    snapshot: snapshot.id,
    target,
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
  const directory = join(target, path);
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
  readonly aside: Aside;
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
  const { staged, contract, policy, restore, aside } = input;
  const { manifest, directory } = staged;
  const { target, include, overwrite, dryRun } = restore;
  const isWanted = (path: string): boolean => include.length === 0 || include.some((one) => isWithin(path, one));
  const items: RestoredItem[] = [];
  const warnings: string[] = [];
  for (const copy of manifest.sqlite.filter(({ path }) => isWanted(path))) {
    const place = target === null ? destinationOf(copy, input) : join(target, copy.path);
    const isThere = lstat(place) !== null;
    if (overwrite === "never" && isThere) continue;
    items.push({ path: copy.path, action: isThere ? "update" : "create" });
    if (dryRun) continue;
    context.log.line(`putting the SQLite database back to ${place}`);
    await replaceDatabase(copy, { from: join(directory, "sqlite", copy.file), place, aside });
  }
  // A database is restored as a whole, and only with everything else.
  for (const dump of include.length === 0 ? manifest.dumps : []) {
    const file = join(directory, "dumps", dump.file);
    items.push({ path: `${dump.server}: ${dump.database ?? "accounts"}`, action: "update" });
    if (dryRun) continue;
    if (target === null)
      warnings.push(...(await loadDump(context, { entry: findEntry(dump, { contract, policy }), dump, file })));
    else await copyDump(file, join(target, "databases", dump.file));
  }
  return { items, warnings };
}

/** Removes the staging directory that the engine has restored below the target: nobody looks for its files there. */
export function removeStagingFrom(target: string, { path }: StagedRestore): void {
  try {
    withDirectory(openDirectory(join(target, dirname(path))), (above) => removeTree(above, basename(path)));
    for (let parent = dirname(path); parent !== "/"; parent = dirname(parent)) {
      withDirectory(openDirectory(join(target, dirname(parent))), (above) =>
        rmdirSync(entryOf(above, basename(parent))),
      );
    }
  } catch (error) {
    // It was not selected, or one of the directories has something else in it.
    if (!isCode(error, "ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST")) throw error;
  }
}

function destinationOf({ path }: StagedSqlite, { contract, policy, paths }: RestoreStagedInput): string {
  const entry = contract.consistency.find((one) => "sqlite" in one && one.sqlite === path);
  if (entry === undefined) throw notInContractError(path);
  checkConsistency(policy, entry);
  // Also where there is no database yet: its directory may be a link that somebody else made.
  const place = realPathByOurLinks(path);
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

import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Consistency } from "../../shared/consistency.ts";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { dumpServer } from "./dumps.ts";
import { type CommandContext, runCommand } from "./run-command.ts";
import { isMissing } from "../../shared/node/files.ts";
import { ownProgramAs } from "../system/own-program.ts";
import type { Policy } from "../policy/policy.ts";
import { checkSource } from "../policy/check.ts";
import type { RunUser } from "../system/process/user.ts";
import { runError } from "../run-error.ts";
import { openStaging, type Manifest, finishStaging, type StagedSqlite, type Staging } from "./staging.ts";

interface StageInput {
  readonly paths: Pick<Paths, "root" | "cache">;
  readonly binding: Id;
  readonly user: RunUser;
  readonly policy: Policy;
  readonly entries: readonly Consistency[];
}

/** What was staged: a source of its own, and the patterns that exclude the live files. */
export interface StagedSource {
  readonly directory: string;
  readonly excludes: string[];
  /** The live databases, with symbolic links resolved. */
  readonly databases: string[];
}

/**
 * Copies and dumps the contract's databases into the binding's staging directory, each consistent in itself.
 * @returns null when the contract names no database
 * @throws `consistency.failed`, PolicyError, or the signal's reason
 */
export async function stageDatabases(context: CommandContext, input: StageInput): Promise<StagedSource | null> {
  const copied = input.entries.filter((entry) => "sqlite" in entry || "postgres" in entry || "mariadb" in entry);
  if (copied.length === 0) return null;
  const staging = await openStaging(input.paths, input);
  const manifest: Manifest = { version: 1, sqlite: [], dumps: [] };
  const databases: string[] = [];
  for (const entry of copied) {
    if ("sqlite" in entry) {
      const path = await resolveDatabasePath(entry.sqlite);
      checkSource(input.policy, path);
      manifest.sqlite.push(
        await stageSqlite(context, {
          staging,
          user: input.user,
          declared: entry.sqlite,
          path,
          index: databases.length,
        }),
      );
      databases.push(path);
    } else {
      const dumps = await dumpServer(context, { entry, directory: staging.dumps, before: manifest.dumps.length });
      manifest.dumps.push(...dumps);
    }
  }
  await finishStaging(staging, { manifest, user: input.user });
  return { directory: staging.directory, excludes: databases.flatMap(sqliteFilePatterns), databases };
}

async function resolveDatabasePath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw runError(
      "consistency.failed",
      `there is no SQLite database at ${path}`,
      "Correct the path, or take it out of the contract's consistency.",
    );
  }
}

interface SqliteInput {
  readonly staging: Staging;
  readonly user: RunUser;
  readonly declared: string;
  readonly path: string;
  readonly index: number;
}

async function stageSqlite(
  context: CommandContext,
  { staging, user, declared, path, index }: SqliteInput,
): Promise<StagedSqlite> {
  const file = `${index}`;
  const { uid, gid, mode } = await stat(path);
  context.log.line(`copying the SQLite database ${path}`);
  await runCommand(context, {
    what: `copying the SQLite database ${path}`,
    command: [...ownProgramAs(user), "copy-sqlite", path, join(staging.sqlite, file)],
  });
  return { path: declared, file, uid, gid, mode: mode & 0o777 };
}

/** Patterns of the live database and the files SQLite keeps next to it, exactly there and nowhere else. */
export function sqliteFilePatterns(path: string): string[] {
  const literal = literalPattern(path);
  return ["", "-wal", "-shm", "-journal"].map((ending) => literal + ending);
}

/** The pattern that is this path and nothing else. */
export function literalPattern(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&");
}

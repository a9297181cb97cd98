import { chmod, chown, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { removeAll } from "../system/remove-all.ts";
import { canWriteIn, letOthersThrough, passageAdvice } from "../system/passage.ts";
import { runError } from "../run-error.ts";
import type { RunUser } from "../system/process/user.ts";

/** One dump of a server, as listed in the manifest. */
export const StagedDump = z.object({
  server: z.enum(["postgres", "mariadb"]),
  database: z.string().nullable().describe("null: the server's accounts"),
  file: z.string().regex(/^[A-Za-z0-9_-]+\.(?:sql|pgdump)$/),
});
export type StagedDump = z.infer<typeof StagedDump>;

export const StagedSqlite = z.object({
  path: z.string().describe("where the live database is"),
  file: z.string().regex(/^\d+$/),
  uid: z.int().min(0),
  gid: z.int().min(0),
  mode: z.int().min(0).max(0o777),
});
export type StagedSqlite = z.infer<typeof StagedSqlite>;

/** What a staging directory contains, and where it belongs: with it, a restore needs only the snapshot. */
export const Manifest = z.object({
  version: z.literal(1),
  sqlite: z.array(StagedSqlite),
  dumps: z.array(StagedDump),
});
export type Manifest = z.infer<typeof Manifest>;

export const MANIFEST = "holdfast.json";

/**
 * The staging directory of one binding. Its path is the same at every run, so that engines recognise unchanged files.
 */
export interface Staging {
  readonly directory: string;
  /** Belongs to the user, who copies into it. */
  readonly sqlite: string;
  /** Belongs to the agent until the staging is finished: root writes here, and must not follow another user's link. */
  readonly dumps: string;
}

export function stagingDirectory({ cache }: Pick<Paths, "cache">, binding: Id): string {
  return join(cache, "staging", binding);
}

/** Where a restore puts database copies and dumps before they are loaded. */
export function restoreWorkDirectory({ cache }: Pick<Paths, "cache">, run: Id): string {
  return join(cache, "staging", `restore-${run}`);
}

/**
 * Creates the directory, empty: removes what an earlier run left.
 * @throws `consistency.failed` when the user can't get there
 */
export async function openStaging(
  paths: Pick<Paths, "root" | "cache">,
  { binding, user }: { binding: Id; user: RunUser },
): Promise<Staging> {
  const directory = stagingDirectory(paths, binding);
  const staging = { directory, sqlite: join(directory, "sqlite"), dumps: join(directory, "dumps") };
  await removeAll(directory);
  await mkdir(directory, { recursive: true, mode: 0o711 });
  for (const path of [paths.cache, directory]) await chmod(path, 0o711);
  // As for the tool's cache: see providers/work-directories.ts.
  if (user.needsSwitch) await letOthersThrough(directory, paths.root === "/" ? paths.cache : paths.root);
  // borg also opens the parent directory of a source.
  await chmod(join(paths.cache, "staging"), 0o755);
  for (const path of [staging.sqlite, staging.dumps]) await mkdir(path, { mode: 0o700 });
  if (!user.needsSwitch) return staging;
  await chown(staging.sqlite, user.uid, user.gid);
  if (!(await canWriteIn(user, staging.sqlite, "/"))) {
    const advice = await passageAdvice(user, staging.sqlite);
    throw runError("consistency.failed", `user ${user.name} can't get to ${directory}, for its databases`, advice);
  }
  return staging;
}

/** Writes the manifest, and gives all of it to the user who does the backup. */
export async function finishStaging(
  staging: Staging,
  { manifest, user }: { manifest: Manifest; user: RunUser },
): Promise<void> {
  const file = join(staging.directory, MANIFEST);
  await writeFile(file, `${JSON.stringify(manifest)}\n`, { mode: 0o600, flag: "wx" });
  if (!user.needsSwitch) return;
  const dumps = await readdir(staging.dumps);
  for (const path of [...dumps.map((name) => join(staging.dumps, name)), staging.dumps, file, staging.directory]) {
    await chown(path, user.uid, user.gid);
  }
}

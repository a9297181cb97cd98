import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { sql } from "drizzle-orm";
import { readSigningKey } from "../../auth/signing-key.ts";
import { migrate } from "../../db/migrate.ts";
import { MIGRATIONS } from "../../db/migrations.ts";
import type { SigningKey } from "../../deps.ts";
import { adaptRestoredDatabase } from "../../domain/service/control-restore.ts";
import { protectRows } from "../../domain/service/row-protection.ts";
import type { RecoveryKey } from "../../../shared/recovery-key.ts";
import type { SnapshotFacts } from "../../../shared/run.ts";
import { databaseFile, type NodeConfig } from "./config.ts";
import { stagingDirectory } from "./control-contract.ts";
import { fetchControlSnapshot, type FetchedSnapshot, fileOf } from "./control-snapshot.ts";
import { lockDataDirectory } from "./data-directory.ts";
import { openDatabase } from "./database.ts";
import { lineLog } from "./log.ts";
import { recordRowProtection } from "./row-protection.ts";
import { syncDirectory } from "../../../shared/node/files.ts";
import { agentRoot } from "./local-agent.ts";

export interface ControlRestore {
  readonly key: RecoveryKey;
  /** The repository's present location; null: the one in the key. */
  readonly location: string | null;
  /** A snapshot's id, or `latest`. */
  readonly snapshot: string;
  /** Move an existing control plane in the data directory aside instead of refusing. */
  readonly force: boolean;
}

export interface RestoredControl {
  readonly snapshot: SnapshotFacts;
  readonly hosts: number;
  /** Where the existing control plane was moved to; null when there was none. */
  readonly aside: string | null;
}

/**
 * Restores a control plane into its data directory. The snapshot is fetched, verified and adapted in a temporary
 * directory first; when any of that fails, nothing else is changed.
 * @throws Error with a message for people
 */
export async function restoreControl(config: NodeConfig, wanted: ControlRestore): Promise<RestoredControl> {
  const database = databaseFile(config);
  if (database === null) {
    throw new Error(`HOLDFAST_DATABASE_URL is ${config.databaseUrl}: restore that server's own backup instead`);
  }
  const releaseLock = await lockDataDirectory(config.dataDir);
  const work = await mkdtemp(join(config.dataDir, "restoring-"));
  try {
    const moves = movesOf(config, database);
    const existing = await existingPaths([...moves.map(({ to }) => to), `${database}-wal`, `${database}-shm`]);
    if (existing.length > 0 && !wanted.force) {
      throw new Error(
        `${config.dataDir} holds a control plane (${existing.join(", ")}): restore into another directory (--data), or move it aside (--force)`,
      );
    }
    const location = wanted.location ?? wanted.key.repository.location;
    const fetched = await fetchControlSnapshot(wanted.key, { location, snapshot: wanted.snapshot, work });
    const signingKey = await verify(config, fetched, wanted.key);
    const { hosts } = await adaptDatabase(config, fetched, { ...wanted, signingKey });
    const aside = existing.length === 0 ? null : await moveAside(config, existing);
    for (const { from, to } of moves) {
      if ((await existingPaths([join(fetched.files, from)])).length > 0) await rename(join(fetched.files, from), to);
    }
    await recordRowProtection(config.dataDir);
    await syncDirectory(config.dataDir);
    return { snapshot: fetched.facts, hosts, aside };
  } finally {
    await rm(work, { recursive: true, force: true });
    releaseLock();
  }
}

/** The database comes last: only with it the directory holds a control plane. */
function movesOf(config: NodeConfig, database: string): { from: string; to: string }[] {
  return [
    { from: "agent", to: agentRoot(config.dataDir) },
    { from: "signing.key", to: join(config.dataDir, "signing.key") },
    { from: "control.db", to: database },
  ];
}

async function existingPaths(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        () => path,
        () => null,
      ),
    ),
  );
  return found.filter((path) => path !== null);
}

/** Checks that the snapshot is intact, of a known version, and of the control plane whose key the hosts have pinned. */
async function verify(config: NodeConfig, fetched: FetchedSnapshot, key: RecoveryKey): Promise<SigningKey> {
  const what = `snapshot ${fetched.facts.id.slice(0, 8)} of ${fetched.facts.takenAt}`;
  const other = "choose another one with --snapshot";
  const stored = await fileOf(fetched, "signing.key");
  // With HOLDFAST_SIGNING_KEY there is no key file.
  if (stored === null && config.signingKey === undefined)
    throw new Error(`${what} has no signing key, because it was in HOLDFAST_SIGNING_KEY: set that variable as before`);
  const signingKey = await (stored === null
    ? readSigningKey(config.signingKey ?? "", "HOLDFAST_SIGNING_KEY")
    : readSigningKey(stored, `signing.key in ${what}`));
  if (signingKey.fingerprint !== key.controlKey)
    throw new Error(
      `${stored === null ? "HOLDFAST_SIGNING_KEY" : what} has another signing key than the one the hosts have pinned: ${stored === null ? "set the one from before" : other}`,
    );
  let newest: unknown;
  try {
    const db = new DatabaseSync(join(fetched.files, "control.db"), { readOnly: true });
    try {
      const { integrity_check: state } = db.prepare("PRAGMA integrity_check").get() ?? {};
      if (state !== "ok") throw new Error(String(state));
      ({ newest } = db.prepare("SELECT max(created_at) AS newest FROM __drizzle_migrations").get() ?? {});
    } finally {
      db.close();
    }
  } catch (error) {
    throw new Error(`the database in ${what} is damaged (${error instanceof Error ? error.message : ""}): ${other}`, {
      cause: error,
    });
  }
  if (Number(newest) > Math.max(...MIGRATIONS.map(({ when }) => when)))
    throw new Error(`the database in ${what} was written by a newer Holdfast: restore it with that version`);
  return signingKey;
}

async function adaptDatabase(
  config: NodeConfig,
  { files, facts }: FetchedSnapshot,
  { key, location, signingKey }: ControlRestore & { signingKey: SigningKey },
): Promise<{ hosts: number }> {
  const db = openDatabase(pathToFileURL(join(files, "control.db")).href);
  try {
    await migrate(db);
    const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
    const log = lineLog((line) => process.stderr.write(line));
    const deps = { db, clock: Date, random, log, signingKey };
    // A snapshot of version 0.2 has no MACs. That this very database is the right one, its recovery key says.
    await protectRows(deps, { mayBegin: true });
    const adapted = await adaptRestoredDatabase(deps, {
      host: key.host,
      binding: key.binding,
      snapshot: facts.id,
      takenAt: facts.takenAt,
      moved: location === null ? null : { repository: key.repository.id, location },
      staging: { directory: stagingDirectory(config), user: userInfo().username },
    });
    // Writes the WAL into the database file, because only that file is moved. Closing does not do it.
    await db.run(sql`pragma journal_mode = delete`);
    return adapted;
  } finally {
    db.$client.close();
  }
}

async function moveAside(config: NodeConfig, existing: readonly string[]): Promise<string> {
  const aside = join(config.dataDir, `replaced-${new Date().toISOString().replace(/[:.]/g, "-")}`);
  await mkdir(aside, { mode: 0o700 });
  for (const path of existing) await rename(path, join(aside, path.split("/").at(-1) ?? ""));
  return aside;
}

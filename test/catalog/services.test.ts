import { randomBytes } from "node:crypto";
import { access, chown, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ownUser } from "../../agent/system/process/user.ts";
import { findService, SERVICES } from "../../control/catalog/catalog.ts";
import { bodyOfLayout } from "../../control/domain/contracts/catalog.ts";
import type { Consistency } from "../../shared/consistency.ts";
import type { ContractBody, FilesContract } from "../../shared/contract.ts";
import { type Server, startMariadb, startPostgres } from "../consistency/servers.ts";
import { type EngineHost, newId, openEngineHost, type Work } from "../engine/engine-host.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { newestRestic } from "../support/restic.ts";
import { describeTree } from "../support/tree.ts";
import { SHAPES, type Shape } from "./shapes.ts";
import { serverTables, sqliteTables, type Tables } from "./tables.ts";

let host: EngineHost;
let postgres: Server;
let mariadb: Server;

beforeAll(async () => {
  host = await openEngineHost(newestRestic());
  await host.policy({ hooks: "inline" });
  await makeRepository();
  postgres = await startPostgres();
  mariadb = await startMariadb();
});

afterAll(async () => {
  await postgres.stop();
  await mariadb.stop();
  await host.close();
});

test("every entry is tested, in at least one layout", () => {
  const tried = new Set([...SHAPES.map(({ entry }) => entry), "postgresql"]);
  expect([...tried].toSorted()).toEqual(SERVICES.map(({ name }) => name));
});

test.each(SHAPES)("$entry ($layout): a backup under load is restored after the data is destroyed", async (shape) => {
  const base = join(host.root, "srv", `${shape.entry}-${shape.layout}`);
  const contract = contractOf(shape, base);
  const kept = shape.files.map((file) => join(base, file));
  const remade = (shape.remade ?? []).map((file) => join(base, file));
  for (const file of [...kept, ...remade]) await writeRandom(file);
  const databases = databasesOf(shape, { base, contract });
  for (const database of databases) await database.make();

  const writers = databases.map((database) => database.write());
  await Promise.all(writers.map(({ begun }) => begun));
  const before = databases.map((database) => database.count());
  const work = workOf(contract);
  const stored = await host.backup(work);
  const after = databases.map((database) => database.count());
  await Promise.all(writers.map(({ stop }) => stop()));
  expect(stored).toMatchObject({ state: "succeeded", failure: null });
  for (const [index, count] of after.entries()) expect(count).toBeGreaterThan(before[index] ?? 0);

  const isKept = (line: string): boolean => shape.files.some((file) => line.endsWith(` ${printed(file)}`));
  const asBefore = (await describeTree(base)).filter(isKept);
  expect(asBefore).toHaveLength(kept.length);
  for (const [index, file] of kept.entries()) await (index % 2 === 0 ? rm(file) : writeRandom(file));
  for (const file of remade) await rm(file);
  for (const database of databases) await database.wreck();

  expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
  expect((await describeTree(base)).filter(isKept)).toEqual(asBefore);
  // The copy is whole by itself: with the log of the live file beside it, it would be the live file that was kept.
  const logs = Object.keys(shape.sqlite ?? {}).map((file) => join(base, `${file}-wal`));
  for (const gone of [...remade, ...logs]) await expect(access(gone)).rejects.toThrow("ENOENT");
  for (const [index, database] of databases.entries()) {
    const { verdict, rows, others } = database.read();
    expect({ verdict, others }).toEqual({ verdict: "ok", others: database.others });
    expectPrefix(rows, { before: before[index] ?? 0, after: after[index] ?? 0 });
  }
});

test("postgresql: the entry's commands restore all databases and roles of a server; a broken load fails", async () => {
  const { uid, gid } = await stat(postgres.directory);
  const orders = serverTables("postgres", postgres, { database: "shop", names: ["orders", "CREATE ROLE postgres;"] });
  await orders.make();
  const inData = ["CREATE ROLE postgres;", "\\connect x"];
  postgres.sql("shop", `INSERT INTO "CREATE ROLE postgres;" VALUES ('${inData[1]}')`);
  postgres.sql("postgres", `CREATE ROLE "shop" LOGIN`);
  const layout = findService("postgresql")?.layouts.debian;
  if (layout === undefined) throw new Error("no postgresql");
  const contract = bodyOfLayout(layout, {});
  if (contract.kind !== "databasebackup") throw new Error("not a databasebackup");
  const here = `export PGHOST=${postgres.socket}; `;
  const { user, backupName, backupCmd, restoreCmd } = contract.request;
  const database = { backupName, backupCmd: here + backupCmd, restoreCmd: here + restoreCmd };
  // A repository in a local directory is of one user, and this is another.
  const location = join(host.root, "postgres-repository");
  await mkdir(location);
  await chown(location, uid, gid);
  const work = ofItsOwn(host.work({ user, database, repository: { id: newId(), location } }));

  const writer = orders.write();
  await writer.begun;
  const before = orders.count();
  expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
  const after = orders.count();
  await writer.stop();

  await orders.wreck();
  postgres.sql("postgres", `DROP ROLE "shop"`);
  expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
  expectPrefix(orders.read().rows, { before, after });
  expect(postgres.sql("shop", `SELECT name FROM "CREATE ROLE postgres;" ORDER BY 1`).split("\n")).toEqual(inData);
  expect(postgres.sql("postgres", "SELECT rolname FROM pg_roles WHERE rolname = 'shop'")).toBe("shop");

  // A database in use can't be dropped: the restore says so, and nothing of it is done.
  const restored = orders.count();
  const busy = orders.write();
  while (orders.count() === restored) await pause(5);
  expect(await host.restore(work, {})).toMatchObject({ state: "failed", failure: { code: "database.failed" } });
  await busy.stop();
  expect(orders.count()).toBeGreaterThan(restored);
});

/** Makes the repository that every entry is backed up to, and its key cheap: two hundred calls open it. */
async function makeRepository(): Promise<void> {
  const work = host.work({ sources: [dirname(await host.write("first/file", "x"))] });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  const { location, id } = work.assignment.repositories[0] ?? { location: "", id: "" };
  await cheapenKey(location, (await readFile(join(host.paths.secretsDir, id), "utf8")).trim());
}

/** All that was committed before the backup began, nothing that came after its end, and no hole in it. */
function expectPrefix(rows: readonly number[], { before, after }: { before: number; after: number }): void {
  expect(rows).toEqual(rows.map((_, row) => row + 1));
  expect(rows.length).toBeGreaterThanOrEqual(before);
  expect(rows.length).toBeLessThanOrEqual(after);
}

function databasesOf(shape: Shape, { base, contract }: { base: string; contract: FilesContract }): Tables[] {
  const tables = Object.entries(shape.sqlite ?? {}).map(([file, names]) => sqliteTables(join(base, file), names));
  for (const step of contract.consistency) {
    if ("postgres" in step && shape.postgres !== undefined) {
      tables.push(serverTables("postgres", postgres, { database: step.postgres, names: shape.postgres }));
    }
    if ("mariadb" in step && shape.mariadb !== undefined) {
      tables.push(serverTables("mariadb", mariadb, { database: step.mariadb, names: shape.mariadb }));
    }
  }
  expect(tables).toHaveLength(contract.consistency.length);
  return tables;
}

/** The entry's contract, with its directories below the test's root; and its servers are the test's own. */
function contractOf(shape: Shape, base: string): FilesContract {
  const layout = findService(shape.entry)?.layouts[shape.layout];
  if (layout === undefined) throw new Error(`no ${shape.entry}`);
  const directories = Object.entries(shape.directories).map(([name, path]) => [name, join(base, path)]);
  const contract = bodyOfLayout(layout, { ...Object.fromEntries(directories), ...shape.choices, user: ownUser().name });
  return { ...asFiles(contract), consistency: asFiles(contract).consistency.map(withOwnServer) };
}

function asFiles(contract: ContractBody): FilesContract {
  if (contract.kind !== "files") throw new Error("not files");
  return contract;
}

function withOwnServer(step: Consistency): Consistency {
  if ("postgres" in step) return { ...step, socket: postgres.socket };
  return "mariadb" in step ? { ...step, socket: mariadb.socket } : step;
}

function workOf({ request, consistency }: FilesContract): Work {
  const { user, sourceDirectories: sources, excludePatterns: excludes } = request;
  return ofItsOwn(host.work({ user, sources, excludes, contract: { consistency } }));
}

/**
 * Another binding: to the same repository, if the work says nothing else, which need not be made anew for each entry.
 */
function ofItsOwn({ assignment, binding }: Work): Work {
  const id = newId();
  const [repository] = assignment.repositories;
  const own = { ...binding, id, name: `binding-${id}`, repository: repository?.id ?? binding.repository };
  return { assignment: { ...assignment, bindings: [own] }, binding: own };
}

async function writeRandom(file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, randomBytes(2_000), { mode: 0o640 });
}

/** As `describeTree` shows it. */
function printed(name: string): string {
  const shown = (part: string): string =>
    /^[\x20-\x7e]+$/.test(part) ? part : `0x${Buffer.from(part).toString("hex")}`;
  return name.split("/").map(shown).join("/");
}

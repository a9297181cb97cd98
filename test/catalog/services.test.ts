import { randomBytes } from "node:crypto";
import { access, chmod, chown, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ownUser } from "../../agent/system/process/user.ts";
import { SERVICES } from "../../control/catalog/catalog.ts";
import { bodyOfLayout } from "../../control/domain/contracts/catalog.ts";
import type { ParamValues } from "../../shared/catalog.ts";
import type { Consistency } from "../../shared/consistency.ts";
import type { ContractBody, FilesContract } from "../../shared/contract.ts";
import { type Server, startMariadb, startPostgres } from "../consistency/servers.ts";
import { type EngineHost, newId, openEngineHost, type Work } from "../engine/engine-host.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { IS_WHOLE, oldestAndNewest } from "../support/engines.ts";
import { newestRestic } from "../support/restic.ts";
import { describeTree } from "../support/tree.ts";
import { COLUMNS, type Columns } from "./columns.ts";
import { AS_OTHERS, paramsOf, PLAYED, type Played, templateOf } from "./played.ts";
import { type Names, serverTables, sqliteTables, type Tables } from "./tables.ts";

/** Keeps the state of each unit in a file, and writes down what it is asked, and whether the witness is there then. */
const SYSTEMCTL = `
for unit; do :; done
said() { echo "$1 $unit $([ -e "$(cat "$root/witness")" ] && echo there || echo lost)" >>"$root/said"; }
case $1 in
show) [ -e "$root/units/$unit" ] && echo LoadState=loaded || echo LoadState=not-found; echo "ActiveState=$(cat "$root/units/$unit")" ;;
stop) said stop; echo inactive >"$root/units/$unit" ;;
start) said start; echo active >"$root/units/$unit" ;;
esac`;

const hosts = new Map<string, EngineHost>();
let host: EngineHost;
let postgres: Server;
let mariadb: Server;

beforeAll(async () => {
  host = await openHost("restic");
  await openHost("borg");
  await chmod(await host.write("programs/systemctl", `#!/bin/sh\nroot=${host.root}\n${SYSTEMCTL}\n`), 0o755);
  process.env["PATH"] = `${join(host.root, "programs")}${delimiter}${process.env["PATH"]}`;
  postgres = await startPostgres();
  mariadb = await startMariadb();
});

afterAll(async () => {
  await postgres.stop();
  await mariadb.stop();
  for (const one of hosts.values()) await one.close();
});

test("every entry is tested as Self Host Blocks has it", () => {
  const tried = PLAYED.filter(({ layout }) => layout === "nixos").map(({ shape }) => shape.entry);
  const asOthers = IS_WHOLE ? [] : AS_OTHERS;
  expect([...new Set([...tried, ...asOthers, "postgresql"])].toSorted()).toEqual(SERVICES.map(({ name }) => name));
});

test.each(PLAYED)(
  "$title: all is lost after a backup under load, and restored while its services stand",
  async (played) => {
    const { shape, layout, provider } = played;
    const on = hosts.get(provider) ?? host;
    const base = join(on.root, "hosts", Object.values({ entry: shape.entry, layout, ...played.choices }).join("-"));
    const params = paramsOf(played, base, ownUser().name);
    const contract = contractOf(played, params);
    const at = (file: string): string => join(params[file.split("/")[0] ?? ""] ?? "", ...file.split("/").slice(1));
    const [kept, remade] = [shape.files.map(at), (shape.remade ?? []).map(at)];
    const own = contract.request.sourceDirectories.map((source) => join(source, "of-one-s-own"));
    for (const file of [...kept, ...remade, ...own.filter((one) => !kept.includes(dirname(one)))])
      await writeRandom(file);
    const files = Object.fromEntries(Object.entries(shape.sqlite ?? {}).map(([file, names]) => [at(file), names]));
    const databases = databasesOf(contract, { files, served: shape.served, columns: COLUMNS[shape.entry] });
    for (const database of databases) await database.make();

    const writers = databases.map((database) => database.write());
    await Promise.all(writers.map(({ begun }) => begun));
    const before = databases.map((database) => database.count());
    const work = workOf(on, contract);
    const stored = await on.backup(work);
    const after = databases.map((database) => database.count());
    await Promise.all(writers.map(({ stop }) => stop()));
    expect(stored).toMatchObject({ state: "succeeded", failure: null });
    for (const [index, count] of after.entries()) expect(count).toBeGreaterThan(before[index] ?? 0);

    const isMade = (line: string): boolean =>
      [...remade, ...Object.keys(files)].some((file) => line.includes(` ${printed(relative(base, file))}`));
    const kinds = async (): Promise<string[]> =>
      (await describeTree(base)).filter((line) => line.startsWith("f ") && !isMade(line));
    const asBefore = await kinds();
    expect(asBefore.length).toBeGreaterThanOrEqual(kept.length);
    await rm(base, { recursive: true });
    for (const database of databases) await database.wreck();

    const units = contract.stopForRestore;
    for (const unit of units) await host.write(`units/${unit}`, "active\n");
    await host.write("witness", kept[0] ?? "");
    await host.write("said", "");
    expect(await on.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    const stopped = units.map((unit) => `stop ${unit} lost\n`);
    const started = units.map((unit) => `start ${unit} there\n`).toReversed();
    expect(await readFile(join(host.root, "said"), "utf8")).toBe([...stopped, ...started].join(""));
    expect(await kinds()).toEqual(asBefore);
    // The copy is whole by itself: with the log of the live file beside it, it would be the live file that was kept.
    const logs = Object.keys(files).map((file) => `${file}-wal`);
    for (const gone of [...remade, ...logs]) await expect(access(gone)).rejects.toThrow("ENOENT");
    for (const [index, database] of databases.entries()) {
      const { verdict, rows, others } = database.read();
      expect({ verdict, others }).toEqual({ verdict: "ok", others: database.others });
      expectPrefix(rows, { before: before[index] ?? 0, after: after[index] ?? 0 });
      await database.drop();
    }
  },
);

test("postgresql: the entry's commands restore all databases and roles of a server; a broken load fails", async () => {
  const { uid, gid } = await stat(postgres.directory);
  const orders = serverTables("postgres", postgres, { database: "shop", names: ["orders", "CREATE ROLE postgres;"] });
  await orders.make();
  const inData = ["CREATE ROLE postgres;", "\\connect x"];
  postgres.sql("shop", `INSERT INTO "CREATE ROLE postgres;" VALUES ('${inData[1]}')`);
  postgres.sql("postgres", `CREATE ROLE "shop" LOGIN`);
  const contract = bodyOfLayout(templateOf("postgresql", "nixos"), {});
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

/** A host whose repository is made, for every entry, and its key cheap: a hundred calls open it. */
async function openHost(provider: "restic" | "borg"): Promise<EngineHost> {
  const opened = await openEngineHost(provider === "restic" ? newestRestic() : oldestAndNewest("borg")[0]);
  hosts.set(provider, opened);
  await opened.policy({ hooks: "inline" });
  if (provider === "borg") return opened;
  const work = opened.work({ sources: [dirname(await opened.write("first/file", "x"))] });
  expect(await opened.backup(work)).toMatchObject({ state: "succeeded" });
  const { location, id } = work.assignment.repositories[0] ?? { location: "", id: "" };
  await cheapenKey(location, (await readFile(join(opened.paths.secretsDir, id), "utf8")).trim());
  return opened;
}

/** All that was committed before the backup began, nothing that came after its end, and no hole in it. */
function expectPrefix(rows: readonly number[], { before, after }: { before: number; after: number }): void {
  expect(rows).toEqual(rows.map((_, row) => row + 1));
  expect(rows.length).toBeGreaterThanOrEqual(before);
  expect(rows.length).toBeLessThanOrEqual(after);
}

function databasesOf(
  { consistency }: FilesContract,
  {
    files,
    served,
    columns,
  }: {
    files: Readonly<Record<string, Names>>;
    served: Names | undefined;
    columns: Columns | undefined;
  },
): Tables[] {
  return consistency.map((step) => {
    const names = "sqlite" in step ? files[step.sqlite] : served;
    if (names === undefined) throw new Error(`no tables for ${JSON.stringify(step)}`);
    if ("sqlite" in step) return sqliteTables(step.sqlite, names, columns);
    if ("postgres" in step) return serverTables("postgres", postgres, { database: step.postgres, names });
    if ("mariadb" in step) return serverTables("mariadb", mariadb, { database: step.mariadb, names });
    throw new Error(`not a database: ${JSON.stringify(step)}`);
  });
}

/** The entry's contract, with its directories below the test's root; and its servers are the test's own. */
function contractOf({ shape, layout }: Played, params: ParamValues): FilesContract {
  const contract = asFiles(bodyOfLayout(templateOf(shape.entry, layout), params));
  return { ...contract, consistency: contract.consistency.map(withOwnServer) };
}

function asFiles(contract: ContractBody): FilesContract {
  if (contract.kind !== "files") throw new Error("not files");
  return contract;
}

function withOwnServer(step: Consistency): Consistency {
  if ("postgres" in step) return { ...step, socket: postgres.socket };
  return "mariadb" in step ? { ...step, socket: mariadb.socket } : step;
}

function workOf(on: EngineHost, { request, consistency, stopForRestore }: FilesContract): Work {
  const { user, sourceDirectories: sources, excludePatterns: excludes } = request;
  return ofItsOwn(on.work({ user, sources, excludes, contract: { consistency, stopForRestore } }));
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

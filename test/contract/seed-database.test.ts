import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Server, startMariadb, startPostgres } from "../consistency/servers.ts";
import { type Mounts, openMounts } from "../support/mounts.ts";
import { type Bound, openContractHost, type ContractHost } from "./contract-host.ts";
import { numbersOf } from "./seed-accounts.ts";

// The contract test of Self Host Blocks for databases (modules/contracts/databasebackup/test.nix), with the request of
// its only requester, word for word: the whole PostgreSQL, compressed on the way, and loaded by whoever restores. Both
// servers are where their own tools look for them, in a view of the machine that only these commands have.

/** As `shb.postgresql.databasebackup.request` gives it. */
const POSTGRES = {
  user: "postgres",
  backupName: "postgres.sql",
  backupCmd: "pg_dumpall --clean --if-exists | gzip --rsyncable",
  restoreCmd: "gunzip | sudo -u postgres psql",
};
const MARIADB = {
  user: "mysql",
  backupName: "mariadb.sql",
  backupCmd: "mariadb-dump --all-databases --add-drop-database --single-transaction | gzip --rsyncable",
  restoreCmd: "gunzip | sudo -u mysql mariadb",
};
const TOOLS = ["restic", "borg"] as const;

let host: ContractHost;
let mounts: Mounts;
let postgres: Server;
let mariadb: Server;

beforeAll(async () => {
  [postgres, mariadb] = await Promise.all([startPostgres(), startMariadb()]);
  mounts = await openMounts({ "/run/postgresql": postgres.socket, "/run/mysqld": mariadb.directory });
  host = await openContractHost({ inside: mounts.inside });
  await mkdir(host.paths.contractsDir, { recursive: true });
  await chmod(host.paths.contractsDir, 0o755);
  const broken = { ...POSTGRES, backupCmd: "pg_dumpall --username stranger | gzip" };
  const bindings = await Promise.all(
    TOOLS.flatMap((provider) => [
      declared(`${provider}-postgres`, { provider, request: POSTGRES }),
      declared(`${provider}-mariadb`, { provider, request: MARIADB }),
      declared(`${provider}-broken`, { provider, request: broken }),
    ]),
  );
  await host.assign(bindings);
});

afterAll(async () => {
  mounts?.stop();
  await Promise.all([postgres?.stop(), mariadb?.stop()]);
  await host.close();
});

/** A file of contracts.d with the request alone, and the binding that the control plane makes of it. */
async function declared(
  name: string,
  { provider, request }: { provider: Bound["provider"]; request: typeof POSTGRES },
): Promise<Bound> {
  await writeFile(join(host.paths.contractsDir, `${name}.json`), JSON.stringify(request), { mode: 0o644 });
  const location = await host.directory(`opt/repos/${provider}-${request.user}`, numbersOf(request.user));
  return { name, provider, location, request, kind: "databasebackup", isDeclared: true };
}

describe.each(TOOLS)("%s", (tool) => {
  const snapshots = async (name: string): Promise<string[]> => {
    const listed = await host.script(name, "snapshots");
    expect(listed.code, listed.stderr).toBe(0);
    return listed.stdout.trimEnd().split("\n");
  };
  const backUp = async (name: string): Promise<void> => {
    const started = await host.start(name);
    expect(started.code, started.stderr).toBe(0);
  };
  const restore = async (name: string, id = ""): Promise<void> => {
    const restored = await host.script(name, "restore", id);
    expect(restored.code, restored.stderr).toBe(0);
    expect(restored.stdout.split("\n")[0]).toBe(`Will restore snapshot '${id}'`);
  };

  beforeEach(() => {
    postgres.sql("postgres", "drop database if exists me");
    postgres.sql("postgres", "drop role if exists me");
    postgres.sql("postgres", "create role me login");
    postgres.sql("postgres", "create database me owner me");
  });

  test("keeps the contract of a database", async () => {
    const name = `${tool}-postgres`;
    const rows = (): string[] => postgres.sql("me", "select * from test order by name").split("\n");
    postgres.sql("me", "create table test (name text, count int)");
    postgres.sql("me", "insert into test values ('car', 1)");
    expect(rows()).toEqual(["car|1"]);
    const none = await host.script(name, "snapshots");
    expect(none.code !== 0 || none.stdout === "").toBe(true);
    await backUp(name);
    expect(await snapshots(name)).toHaveLength(1);
    postgres.sql("me", "insert into test values ('lollipop', 2)");
    expect(rows()).toEqual(["car|1", "lollipop|2"]);
    await backUp(name);
    const [first, second, ...more] = await snapshots(name);
    expect(more).toEqual([]);

    postgres.sql("postgres", "drop database me");
    expect(rows).toThrow('database "me" does not exist');
    await restore(name, second);
    expect(rows()).toEqual(["car|1", "lollipop|2"]);
    await restore(name, first);
    expect(rows()).toEqual(["car|1"]);
  });

  test("keeps it for all of MariaDB as well", async () => {
    const name = `${tool}-mariadb`;
    const rows = (): string[] => mariadb.sql("me", "select * from test order by name").split("\n");
    mariadb.sql("", "create or replace database me");
    mariadb.sql("me", "create table test (name text, count int)");
    mariadb.sql("me", "insert into test values ('car', 1)");
    await backUp(name);
    const [first] = await snapshots(name);
    mariadb.sql("me", "insert into test values ('lollipop', 2)");
    await restore(name, first);
    expect(rows()).toEqual(["car\t1"]);
    mariadb.sql("", "drop database me");
    expect(rows).toThrow("Unknown database 'me'");
    await restore(name, first);
    expect(rows()).toEqual(["car\t1"]);
  });

  test("a dump that fails in its pipe stores nothing, and the unit fails", async () => {
    const failed = await host.start(`${tool}-broken`);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("(dump.failed)") });
    expect(failed.stderr).toContain('"stranger"');
    expect((await host.script(`${tool}-broken`, "snapshots")).stdout).toBe("");
  });
});

import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Server, startPostgres } from "../consistency/servers.ts";
import { openContractHost, type ContractHost } from "./contract-host.ts";
import { numbersOf } from "./seed.ts";

// The contract test of Self Host Blocks for databases (modules/contracts/databasebackup/test.nix), with the whole
// PostgreSQL dumped as its only requester does it: all databases, compressed on the way.

const TOOLS = ["restic", "borg"] as const;

let host: ContractHost;
let postgres: Server;

beforeAll(async () => {
  host = await openContractHost();
  postgres = await startPostgres();
  await writeFile(host.paths.policyJson, '{"level":"open","hooks":"inline"}', { mode: 0o644 });
  const connect = `-h ${postgres.socket} -U postgres`;
  const request = {
    user: "postgres",
    backupName: "postgres.sql.gz",
    backupCmd: `pg_dumpall ${connect} --clean --if-exists | gzip --rsyncable`,
    restoreCmd: `gunzip | psql ${connect} postgres`,
  };
  const broken = { ...request, backupCmd: `pg_dumpall -h ${postgres.socket} -U stranger | gzip` };
  const bindings = await Promise.all(
    TOOLS.map(async (provider) => {
      const location = await host.directory(`opt/repos/${provider}`, numbersOf("postgres"));
      const bound = { kind: "databasebackup" as const, provider, location };
      return [
        { ...bound, name: `${provider}-postgres`, request },
        { ...bound, name: `${provider}-broken`, request: broken },
      ];
    }),
  );
  await host.assign(bindings.flat());
});

afterAll(async () => {
  await postgres?.stop();
  await host.close();
});

describe.each(TOOLS)("%s", (tool) => {
  const name = `${tool}-postgres`;
  const rows = (): string[] => postgres.sql("me", "select * from test order by name").split("\n");
  const snapshots = async (): Promise<string[]> => {
    const listed = await host.script(name, "snapshots");
    expect(listed.code, listed.stderr).toBe(0);
    return listed.stdout.trimEnd().split("\n");
  };
  const backUp = async (): Promise<void> => {
    const started = await host.start(name);
    expect(started.code, started.stderr).toBe(0);
  };
  const restore = async (id = ""): Promise<void> => {
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
    postgres.sql("me", "create table test (name text, count int)");
    postgres.sql("me", "insert into test values ('car', 1)");
    const none = await host.script(name, "snapshots");
    expect(none.code !== 0 || none.stdout === "").toBe(true);
    await backUp();
    expect(await snapshots()).toHaveLength(1);
    postgres.sql("me", "insert into test values ('lollipop', 2)");
    await backUp();
    const [first, second, ...more] = await snapshots();
    expect(more).toEqual([]);

    postgres.sql("postgres", "drop database me");
    expect(rows).toThrow('database "me" does not exist');
    await restore(second);
    expect(rows()).toEqual(["car|1", "lollipop|2"]);
    await restore(first);
    expect(rows()).toEqual(["car|1"]);
  });

  test("a dump that fails in its pipe stores nothing, and the unit fails", async () => {
    const failed = await host.start(`${tool}-broken`);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("(dump.failed)") });
    expect(failed.stderr).toContain('"stranger"');
    expect((await host.script(`${tool}-broken`, "snapshots")).stdout).toBe("");
  });
});

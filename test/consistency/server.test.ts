import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import "../support/on-disk.ts";
import type { Consistency } from "../../shared/consistency.ts";
import { type EngineHost, openEngineHost } from "../engine/engine-host.ts";
import { IS_WHOLE, oldestAndNewest } from "../support/engines.ts";
import { newestRestic } from "../support/restic.ts";
import { hammeredRounds, makeTables, startServerWriter } from "./rounds.ts";
import { type Server, startMariadb, startPostgres } from "./servers.ts";
import { HELD, isPrefix, type Writer } from "./writers.ts";

const ROUNDS = IS_WHOLE ? 10 : 4;
const KINDS = [
  { kind: "postgres", start: startPostgres, engine: newestRestic() },
  { kind: "mariadb", start: startMariadb, engine: oldestAndNewest("borg")[0] },
] as const;

describe.each(KINDS)("$kind, written to all the time", ({ kind, start, engine }) => {
  let server: Server;
  let writer: Writer | undefined;
  let host: EngineHost;
  beforeAll(async () => {
    server = await start();
    makeTables(kind, server, "app");
    host = await openEngineHost(engine);
    await host.write("data/plain", "x");
  });
  afterAll(async () => {
    await host.close();
    await server.stop();
  });
  afterEach(async () => {
    await writer?.stop();
    writer = undefined;
  });
  const entry = (database: string): Consistency =>
    kind === "postgres" ? { postgres: database, socket: server.socket } : { mariadb: database, socket: server.socket };
  const held = (): { count: number; last: number; rightSums: number } => {
    const [count = 0, last = 0, rightSums = 0] = server.sql("app", HELD).split(/[|\t]/).map(Number);
    return { count, last, rightSums };
  };

  it(`is dumped as a prefix of what was committed and loads again, ${ROUNDS} times of ${ROUNDS}`, async () => {
    const rounds = await hammeredRounds(kind, server, { rounds: ROUNDS, directory: host.root });
    expect(rounds.filter(({ isGood }) => !isGood)).toEqual([]);
    expect(rounds).toHaveLength(ROUNDS);
  });

  it("is restored in place from a snapshot, and as one file into a directory", async () => {
    writer = await startServerWriter(kind, server, host.root);
    const work = host.work({ contract: { consistency: [entry("app")] } });
    const before = writer.committed();
    const stored = await host.backup(work);
    const after = writer.committed();
    await writer.stop();
    expect(stored).toMatchObject({ state: "succeeded", failure: null });
    server.sql("app", "DELETE FROM entries WHERE n % 2 = 0");
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(isPrefix(held(), before, after)).toBe(true);
    await host.restore(work, { target: join(host.root, "aside") });
    const ending = kind === "postgres" ? "pgdump" : "sql";
    const dump = await readFile(join(host.root, "aside/databases", `${kind}-0-app.${ending}`), "utf8");
    expect(dump).toContain("CREATE TABLE");
  });

  it("is dumped with its accounts, and a lost database is restored", async () => {
    const account = kind === "postgres" ? "CREATE ROLE keeper LOGIN" : "CREATE USER keeper@localhost";
    server.sql(kind === "postgres" ? "postgres" : "", account);
    const work = host.work({ contract: { consistency: [entry("*")] } });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
    const before = held();
    server.sql(kind === "postgres" ? "postgres" : "", "DROP DATABASE app");
    server.sql(
      kind === "postgres" ? "postgres" : "",
      kind === "postgres" ? "DROP ROLE keeper" : "DROP USER keeper@localhost",
    );
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(held()).toEqual(before);
    const accounts = kind === "postgres" ? "SELECT rolname FROM pg_roles" : "SELECT user FROM mysql.user";
    expect(server.sql(kind === "postgres" ? "postgres" : "", accounts)).toContain("keeper");
  });

  it("that does not answer, or reports errors while loading, fails the run", async () => {
    const absent = host.work({ contract: { consistency: [entry("no_such")] } });
    expect(await host.backup(absent)).toMatchObject({ snapshot: null, failure: { code: "consistency.failed" } });
    const work = host.work({ contract: { consistency: [entry("app")] } });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    const before = held();
    // What came later holds on to what the dump would replace.
    if (kind === "postgres") server.sql("app", "CREATE VIEW later AS SELECT * FROM entries");
    else
      server.sql(
        "",
        "SET GLOBAL read_only = 1; REVOKE ALL PRIVILEGES ON *.* FROM root@localhost; GRANT SELECT ON *.* TO root@localhost",
      );
    try {
      const outcome = await host.restore(work, {});
      expect(outcome).toMatchObject({ state: "failed", failure: { code: "database.failed" } });
      expect(held()).toEqual(before);
    } finally {
      if (kind === "postgres") server.sql("app", "DROP VIEW later");
    }
  });
});

describe("a database in a container", () => {
  let server: Server;
  let host: EngineHost;
  const path = process.env["PATH"];
  beforeAll(async () => {
    // As in the official image, which trusts whoever is in the container.
    server = await startPostgres("trust");
    makeTables("postgres", server, "app");
    server.sql("app", "INSERT INTO entries VALUES (1, 'one')");
  });
  afterAll(async () => {
    process.env["PATH"] = path;
    await server.stop();
  });
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/plain", "x");
  });
  afterEach(() => host.close());

  it("is dumped and loaded by the container's own tools, with an argv of checked parts only", async () => {
    const bin = join(host.root, "bin");
    await mkdir(bin);
    // No container engine here: what it would be asked is written down, and done by the real client.
    await writeFile(
      join(bin, "docker"),
      `#!/bin/sh
echo "$*" >>${host.root}/asked
case $1 in
  container) [ "$5" = db ] && echo running ;;
  exec) shift 3; exec env PGHOST=${server.socket} runuser -u postgres -- "$@" ;;
esac
`,
    );
    await chmod(join(bin, "docker"), 0o755);
    process.env["PATH"] = `${bin}:${path}`;
    const work = host.work({ contract: { consistency: [{ postgres: "app", container: "db" }] } });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
    server.sql("app", "DELETE FROM entries");
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(server.sql("app", "SELECT text FROM entries")).toBe("one");
    const asked = await readFile(join(host.root, "asked"), "utf8");
    expect(asked).toContain(
      "exec -i db pg_dump --no-password --username=postgres --format=custom --compress=0 --dbname=dbname='app'\n",
    );
    expect(asked).toMatch(/sh pg_restore --no-password --username=holdfast_[0-9a-f]{12} .*--single-transaction/);
    const gone = host.work({ contract: { consistency: [{ postgres: "app", container: "gone" }] } });
    expect((await host.backup(gone)).failure?.message).toContain('has a container "gone"');
  });

  it("of MariaDB is opened with the user's password in the container's environment, or else root's", async () => {
    const mariadb = await startMariadb();
    try {
      mariadb.sql("", "CREATE DATABASE shop; CREATE TABLE shop.orders (n INT); INSERT INTO shop.orders VALUES (7)");
      mariadb.sql("", "CREATE USER shop@localhost IDENTIFIED BY 'open'; GRANT ALL ON shop.* TO shop@localhost");
      mariadb.sql("", "CREATE USER chief@localhost IDENTIFIED BY 'sesame'; GRANT ALL ON *.* TO chief@localhost");
      const bin = join(host.root, "bin");
      await host.write("home/.my.cnf", `[client]\nsocket=${mariadb.socket}\n`);
      const inContainer = async (environment: string): Promise<void> => {
        const inside = `exec env HOME=${host.root}/home ${environment} "$@"`;
        const script = `#!/bin/sh\ncase $1 in container) echo running ;; exec) shift 3; ${inside} ;; esac\n`;
        await chmod(await host.write("bin/docker", script), 0o755);
      };
      process.env["PATH"] = `${bin}:${path}`;
      const workAs = (role: string) =>
        host.work({ contract: { consistency: [{ mariadb: "shop", role, container: "db" }] } });
      await inContainer("MARIADB_USER=shop MARIADB_PASSWORD=wrong MARIADB_ROOT_PASSWORD=sesame");
      expect(await host.backup(workAs("chief"))).toMatchObject({ state: "succeeded", failure: null });
      expect((await host.backup(workAs("shop"))).failure?.message).toContain("Access denied");
      await inContainer("MYSQL_USER=shop MYSQL_PASSWORD=open MYSQL_RANDOM_ROOT_PASSWORD=yes");
      expect(await host.backup(workAs("shop"))).toMatchObject({ state: "succeeded", failure: null });
      mariadb.sql("shop", "DELETE FROM orders");
      expect(await host.restore(workAs("shop"), {})).toMatchObject({ state: "succeeded", failure: null });
      expect(mariadb.sql("shop", "SELECT n FROM orders")).toBe("7");
    } finally {
      await mariadb.stop();
    }
  });
});

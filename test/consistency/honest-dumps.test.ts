import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../support/on-disk.ts";
import { dumpServer, loadDump } from "../../agent/consistency/dumps.ts";
import type { CommandContext } from "../../agent/consistency/run-command.ts";
import { openRunLog } from "../../agent/run-log.ts";
import { type Server, startPostgres } from "./servers.ts";

// A dump is loaded without the rights of a superuser: what is in it comes back all the same, with its owners.

const context: CommandContext = {
  run: "01a21264-c0e7-7269-a84b-9fc1588e8b2c",
  log: openRunLog(Date),
  beforeStart: async () => undefined,
};

let server: Server;
let directory: string;
beforeAll(async () => {
  server = await startPostgres();
  directory = mkdtempSync(join(tmpdir(), "holdfast-dumps-"));
  server.sql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE reader");
  server.sql("postgres", "CREATE DATABASE app OWNER app");
  server.sql("app", "CREATE EXTENSION file_fdw; CREATE EXTENSION hstore");
  server.sql("app", `SET ROLE app; ${OBJECTS}`);
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await server.stop();
});

const OBJECTS = `
  CREATE EXTENSION pg_trgm;
  CREATE SCHEMA own;
  CREATE TYPE mood AS ENUM ('a', 'b');
  CREATE DOMAIN digits AS text CHECK (value ~ '^\\d+$');
  CREATE TABLE t (n serial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY, s text DEFAULT E'it''s \\\\ "x"', m mood, d digits);
  CREATE TABLE own."odd ""name;" (x int REFERENCES t ON DELETE CASCADE, h hstore);
  CREATE INDEX ON t USING gin (s gin_trgm_ops);
  CREATE STATISTICS st ON n, s FROM t;
  CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS $q$ SELECT 1; -- '$$' $q$;
  CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
  CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0');
  CREATE VIEW v AS SELECT * FROM t;
  CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM t;
  CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
  CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();
  COMMENT ON TABLE t IS E'a\\nb; \\\\! id';
  GRANT SELECT ON t TO reader;
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
  SELECT lo_from_bytea(4711, 'large');
  INSERT INTO t (s, m, d) VALUES (E'\\\\.', 'a', '1'), (E'\\\\! id\\n\\\\.\\n;', 'b', NULL), ('é\t', NULL, '22');
  ALTER TABLE t ENABLE ROW LEVEL SECURITY;
  CREATE POLICY po ON t USING (n > 0);`;

const pgDump = (database: string, ...more: string[]): string =>
  execFileSync("runuser", ["-u", "postgres", "--", "pg_dump", "-h", server.socket, ...more, database], {
    encoding: "utf8",
    cwd: "/",
  }).replace(/\\(?:un)?restrict \w+/g, "");

async function dumped(database: string): Promise<{ load: () => Promise<string[]> }> {
  const entry = { postgres: database, socket: server.socket };
  const [dump] = await dumpServer(context, { entry, directory, before: 0 });
  if (dump === undefined) throw new Error("there is no dump");
  return { load: () => loadDump(context, { entry, dump, file: join(directory, dump.file) }) };
}

const leftovers = (): string =>
  server.sql(
    "postgres",
    "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'holdfast_restored' ORDER BY 1",
  );

it("a database of an ordinary role comes back as it was, in place and when it is lost", async () => {
  const before = pgDump("app");
  const dump = await dumped("app");
  server.sql("app", 'DELETE FROM own."odd ""name;"; DELETE FROM t; DROP VIEW v; GRANT ALL ON t TO reader');
  expect(await dump.load()).toEqual([]);
  expect(pgDump("app")).toBe(before);
  server.sql("postgres", "DROP DATABASE app");
  // What only a superuser can make has to be there.
  await expect(dump.load()).rejects.toMatchObject({
    failure: { code: "database.failed", next: expect.stringContaining("such as an extension") },
  });
  server.sql("app", "CREATE EXTENSION file_fdw");
  expect(await dump.load()).toEqual([]);
  expect(pgDump("app")).toBe(before);
  expect(server.sql("postgres", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'")).toBe("app");
  expect(leftovers()).toBe("app\npostgres\nreader");
});

it("a plain dump of an older agent comes back as it was", async () => {
  const before = pgDump("app");
  const file = join(directory, "postgres-0-app.sql");
  await writeFile(file, pgDump("app", "--clean", "--if-exists"));
  server.sql("app", 'DELETE FROM own."odd ""name;"; DELETE FROM t; DROP VIEW v');
  const dump = { server: "postgres", database: "app", file: "postgres-0-app.sql" } as const;
  expect(await loadDump(context, { entry: { postgres: "app", socket: server.socket }, dump, file })).toEqual([]);
  expect(pgDump("app")).toBe(before);
});

it("what a superuser owns is a superuser's again when the schema is the one that was here", async () => {
  server.sql("postgres", "CREATE DATABASE boss");
  server.sql("boss", "CREATE EXTENSION hstore");
  server.sql("boss", OBJECTS);
  const before = pgDump("boss");
  const dump = await dumped("boss");
  server.sql("boss", "DELETE FROM t");
  expect(await dump.load()).toEqual([]);
  expect(pgDump("boss")).toBe(before);
  expect(leftovers()).toBe("app\npostgres\nreader");
});

it("what a superuser owned is nobody's who could do more, when it was something else here", async () => {
  const dump = await dumped("boss");
  const before = pgDump("boss", "--no-owner");
  server.sql("boss", "DROP FUNCTION f()");
  expect(await dump.load()).toEqual([
    expect.stringMatching(/now belong to "holdfast_restored".*REASSIGN OWNED BY "holdfast_restored"/),
  ]);
  expect(pgDump("boss", "--no-owner")).toBe(before);
  expect(server.sql("boss", "SELECT proowner::regrole FROM pg_proc WHERE proname = 'f'")).toBe("holdfast_restored");
  server.sql("boss", "REASSIGN OWNED BY holdfast_restored TO postgres; CREATE VIEW later AS SELECT * FROM t");
  const owners = server.sql(
    "boss",
    "SELECT relname, relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
  );
  await expect(dump.load()).rejects.toThrow("other objects depend on it");
  expect(
    server.sql("boss", "SELECT relname, relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"),
  ).toBe(owners);
  expect(leftovers()).toBe("app\npostgres\nreader");
});

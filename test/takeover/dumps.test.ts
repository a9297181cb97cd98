import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../support/on-disk.ts";
import { loadDump } from "../../agent/consistency/dumps.ts";
import { type Server, startPostgres } from "../consistency/servers.ts";
import { context, marksForThisFile } from "./dump-context.ts";

// Who has the control plane's key, or is superuser of a database that is dumped, writes what a dump holds. Loading it
// must give him nothing on the host.

const marks = marksForThisFile();

describe("a crafted dump of PostgreSQL", () => {
  let server: Server;
  const entry = (): { postgres: string; socket: string } => ({ postgres: "app", socket: server.socket });
  beforeAll(async () => {
    server = await startPostgres();
    server.sql("postgres", "CREATE ROLE app LOGIN");
    server.sql("postgres", "CREATE DATABASE app OWNER app");
    server.sql("app", "SET ROLE app; CREATE TABLE t (n int PRIMARY KEY, text text); INSERT INTO t VALUES (1, 'one')");
  });
  afterAll(() => server.stop());

  const as = (...command: string[]): string =>
    execFileSync("runuser", ["-u", "postgres", "--", ...command], { encoding: "utf8", cwd: "/" });
  /** An honest dump, as the agent made them until 0.2. */
  let text: string;
  let crafted: (sql: string) => Buffer;
  beforeAll(() => {
    text = as("pg_dump", "-h", server.socket, "--clean", "--if-exists", "app");
    crafted = archiveOf(server);
  });
  const load = async (dump: string, database: string | null = "app"): Promise<string[]> => {
    const file = join(marks, "crafted.sql");
    writeFileSync(file, dump, "latin1");
    return await loadDump(context, {
      entry: entry(),
      dump: { server: "postgres", database, file: "crafted.sql" },
      file,
    });
  };
  const mark = (): string => join(marks, "ran");

  const CLIENT: [string, (ran: string) => string][] = [
    ["\\!", (ran) => `\\! id >${ran}`],
    ["\\! behind a statement", (ran) => `SELECT 1 \\! id >${ran}\n;`],
    ["\\! behind a comment that ends with a carriage return", (ran) => `-- \r\\! id >${ran}`],
    ["\\o with a pipe", (ran) => `\\o |cat >${ran}\nSELECT 1;`],
    ["\\g with a pipe", (ran) => `SELECT 1 \\g |cat >${ran}`],
    ["\\w with a pipe", (ran) => `SELECT 1 \\w |cat >${ran}\n;`],
    ["\\copy from program", (ran) => `\\copy public.t from program 'id >${ran}'`],
    ["backticks in \\set", (ran) => `\\set x \`id >${ran}\``],
    ["\\i of a file", (ran) => `\\i ${ran}-script`],
    ["\\setenv and \\e", (ran) => `\\setenv EDITOR 'id >${ran};true'\nSELECT 1 \\e`],
    ["\\! behind rows", (ran) => `COPY public.t (n, text) FROM stdin;\n2\ttwo\n\\.\n\\! id >${ran}`],
    ["\\! on the line of a COPY", (ran) => `COPY public.t (n, text) FROM stdin; \\! id >${ran}\n2\ttwo\n\\.`],
    [
      "\\! in rows of a COPY that is none",
      (ran) => `/* ( */ SELECT (1; COPY public.t (n) FROM stdin;\n\\! id >${ran}\n\\.`,
    ],
    [
      "\\! in rows of a COPY inside a function's body",
      (ran) =>
        `CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; COPY public.t (n) FROM stdin;\n\\! id >${ran}\n\\.`,
    ],
    [
      "\\! in a string that ends elsewhere",
      (ran) => `SELECT set_config('standard_conforming_strings', 'off', false);\nSELECT 'x\\' \\! id >${ran} \n';`,
    ],
    [
      "\\! in a string of another encoding",
      (ran) => `SELECT set_config('client_encoding', 'SJIS', false);\nSELECT E'\u0095\\' \\! id >${ran} \n';`,
    ],
  ];

  it.each(CLIENT)("makes psql run nothing by %s", async (_name, attack) => {
    writeFileSync(`${mark()}-script`, `\\! id >${mark()}\n`);
    await expect(load(`${text}\n${attack(mark())}\n`)).rejects.toMatchObject({ failure: { code: "database.failed" } });
    expect(existsSync(mark())).toBe(false);
    expect(server.sql("app", "SELECT text FROM t")).toBe("one");
  });

  const SERVER: [string, RegExp, (ran: string) => string][] = [
    ["COPY FROM PROGRAM", /must be superuser/, (ran) => `COPY public.t FROM PROGRAM 'id >${ran}; false';`],
    [
      "COPY TO PROGRAM in a DO block",
      /must be superuser/,
      (ran) => `DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''id >${ran}'''; END $$;`,
    ],
    ["COPY TO a file", /must be superuser/, (ran) => `DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO ''${ran}'''; END $$;`],
    ["being a superuser again", /set role "postgres"/, () => "RESET SESSION AUTHORIZATION; SET ROLE postgres;"],
    ["lo_export", /permission denied/, (ran) => `SELECT lo_export(lo_from_bytea(0, 'x'), '${ran}');`],
    ["ALTER SYSTEM", /cannot run inside/, () => "ALTER SYSTEM SET archive_command = 'id';"],
    ["ALTER ROLE", /must be superuser/, () => "ALTER ROLE app SUPERUSER;"],
    ["a role of its own", /must be superuser/, () => "CREATE ROLE evil SUPERUSER LOGIN;"],
    ["a role that runs programs", /must have admin option/, () => "GRANT pg_execute_server_program TO app;"],
    [
      "a function in C",
      /permission denied for language c/,
      () => "CREATE FUNCTION system(cstring) RETURNS int AS 'libc.so.6', 'system' LANGUAGE c;",
    ],
    ["an extension that reads files", /denied to create extension/, () => "CREATE EXTENSION file_fdw;"],
    [
      "an event trigger",
      /permission denied to create event trigger/,
      () =>
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$; CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION e();",
    ],
    [
      "a view of a superuser's",
      /must be member of role/,
      () => "CREATE VIEW w AS SELECT 1; ALTER VIEW w OWNER TO postgres;",
    ],
  ];

  it.each(SERVER)("makes the server do nothing by %s", async (_name, said, attack) => {
    const rights =
      "SELECT rolname, rolsuper, pg_has_role(oid, 'pg_execute_server_program', 'MEMBER') FROM pg_roles ORDER BY 1";
    const before = server.sql("postgres", rights);
    const file = join(marks, "crafted.pgdump");
    writeFileSync(file, crafted(attack(mark())));
    const dump = { server: "postgres", database: "app", file: "crafted.pgdump" } as const;
    await expect(loadDump(context, { entry: entry(), dump, file })).rejects.toThrow(said);
    expect(existsSync(mark())).toBe(false);
    expect(server.sql("postgres", rights)).toBe(before);
    expect(readFileSync(join(server.directory, "data/postgresql.auto.conf"), "utf8")).not.toContain("archive_command");
    expect(server.sql("app", "SELECT text FROM t")).toBe("one");
  });

  it("in plain text makes no superuser own anything, nor the server run anything", async () => {
    const made =
      "CREATE FUNCTION public.s() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'ALTER ROLE app SUPERUSER';\nALTER FUNCTION public.s() OWNER TO postgres;";
    expect(await load(`${text}\n${made}\n`)).toEqual([expect.stringContaining('now belong to "app"')]);
    expect(server.sql("app", "SELECT proowner::regrole FROM pg_proc WHERE proname = 's'")).toBe("app");
    server.sql("app", "DROP FUNCTION s()");
    const run = "DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''id''';\nEND $$;";
    await expect(load(`${text}\n${run}\n`)).rejects.toThrow("must be superuser");
  });

  it("of the roles makes nobody a superuser, and changes no one who is", async () => {
    server.sql("postgres", "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'x'; CREATE ROLE reader; GRANT reader TO app");
    server.sql("postgres", "GRANT pg_read_server_files TO reader; COMMENT ON ROLE app IS 'it''s'");
    server.sql("postgres", "ALTER ROLE app SET search_path = 'a', 'b'; ALTER ROLE app IN DATABASE app SET jit = off");
    const roles = (): string => as("pg_dumpall", "--roles-only", "-h", server.socket);
    const before = roles();
    server.sql("postgres", "DROP ROLE boss; DROP ROLE reader; ALTER ROLE app RESET ALL; COMMENT ON ROLE app IS NULL");
    const [warning] = await load(before, null);
    expect(warning).toMatch(/ALTER ROLE boss WITH SUPERUSER; GRANT pg_read_server_files TO reader/);
    const ordinary = (dump: string): string =>
      dump.replace(/\\(un)?restrict \w+/g, "").replace(/^.*(boss|pg_read).*\n/gm, "");
    expect(ordinary(roles())).toBe(ordinary(before));
    const others = ["SELECT 1", "ALTER ROLE app RENAME TO x", "CREATE ROLE x SUPERUSER"];
    for (const evil of [...others, "COPY t FROM PROGRAM 'id'", "\\! id"])
      await expect(load(`${before}\n${evil};\n`, null)).rejects.toMatchObject({ failure: { code: "database.failed" } });
    const preload = "ALTER ROLE app SET session_preload_libraries TO 'evil';";
    expect(await load(`ALTER ROLE postgres WITH LOGIN PASSWORD 'x';\n${preload}\n`, null)).toEqual([
      expect.stringContaining(preload),
    ]);
    expect(server.sql("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")).toBe("");
  });
});

/** An archive in which a function's definition is followed by other SQL, in the place of its long body. */
function archiveOf(server: Server): (sql: string) => Buffer {
  server.sql("app", `CREATE FUNCTION public.filler() RETURNS text LANGUAGE sql AS $q$ SELECT '${"x".repeat(600)}' $q$`);
  const dump = ["pg_dump", "-h", server.socket, "--format=custom", "--compress=0", "app"];
  const archive = execFileSync("runuser", ["-u", "postgres", "--", ...dump], { cwd: "/" }).toString("latin1");
  server.sql("app", "DROP FUNCTION public.filler()");
  return (sql) => {
    const crafted = archive.replace(/\$_?\$ SELECT 'x+' \$_?\$;/, (old) =>
      `$$ SELECT 'x' $$;SET search_path=public;${sql}`.padEnd(old.length),
    );
    if (crafted.length !== archive.length || crafted === archive) throw new Error("nothing was crafted");
    return Buffer.from(crafted, "latin1");
  };
}

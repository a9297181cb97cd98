import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CommandSpec, type CommandContext, runCommand } from "./run-command.ts";
import {
  checkListed,
  type MariadbEntry,
  mariadbTool,
  type PostgresEntry,
  postgresDatabase,
  postgresTool,
} from "./servers.ts";
import type { StagedDump } from "./staging.ts";

const POSTGRES_LIST = "select datname from pg_database where datallowconn and not datistemplate order by datname";
const MARIADB_LIST =
  "select schema_name from information_schema.schemata where schema_name not in ('information_schema','performance_schema','sys','mysql') order by 1";

/**
 * Dumps one database, or all databases and the accounts of a server, into files. Each database is consistent in itself.
 * @param input `directory`: the agent's own, where nobody else can create a link. `before`: how many dumps it already
 * has
 * @returns the complete dumps only
 */
export async function dumpServer(
  context: CommandContext,
  { entry, directory, before }: { entry: PostgresEntry | MariadbEntry; directory: string; before: number },
): Promise<StagedDump[]> {
  const dumps: StagedDump[] = [];
  const add = async (dump: Omit<StagedDump, "file">, begin: Pick<CommandSpec, "user" | "command">): Promise<void> => {
    const accounts = dump.server === "postgres" ? "roles" : "users";
    const file = fileOf(dump, { accounts, index: before + dumps.length });
    const what = `dumping the ${dump.database === null ? accounts : `database "${dump.database}"`} of ${dump.server}`;
    context.log.line(what);
    await runCommand(context, { what, ...begin, output: join(directory, file) });
    dumps.push({ ...dump, file });
  };
  await ("postgres" in entry ? dumpPostgres(context, entry, add) : dumpMariadb(context, entry, add));
  return dumps;
}

type Add = (dump: Omit<StagedDump, "file">, begin: Pick<CommandSpec, "user" | "command">) => Promise<void>;

async function dumpPostgres(context: CommandContext, entry: PostgresEntry, add: Add): Promise<void> {
  const tool = postgresTool(context, entry);
  const isAll = entry.postgres === "*";
  if (isAll) await add({ server: "postgres", database: null }, await tool("pg_dumpall", ["--roles-only"]));
  for (const database of isAll ? await listPostgres(context, entry) : [entry.postgres]) {
    const args = ["--clean", "--if-exists", postgresDatabase(database)];
    await add({ server: "postgres", database }, await tool("pg_dump", args));
  }
}

async function listPostgres(context: CommandContext, entry: PostgresEntry): Promise<string[]> {
  const listing = await postgresTool(context, entry)("psql", [
    "-XAtq",
    "-c",
    POSTGRES_LIST,
    postgresDatabase("postgres"),
  ]);
  return checkListed(await runCommand(context, { what: "listing the PostgreSQL databases", ...listing }));
}

async function dumpMariadb(context: CommandContext, entry: MariadbEntry, add: Add): Promise<void> {
  const tool = mariadbTool(context, entry);
  const isAll = entry.mariadb === "*";
  const accounts = ["--system=users", "--insert-ignore"];
  if (isAll) await add({ server: "mariadb", database: null }, await tool("mariadb-dump", accounts));
  for (const database of isAll ? await listMariadb(context, entry) : [entry.mariadb]) {
    const whole = ["--routines", "--events", "--triggers", "--hex-blob", "--add-drop-database"];
    const args = ["--single-transaction", "--quick", ...whole, "--databases", "--", database];
    await add({ server: "mariadb", database }, await tool("mariadb-dump", args));
  }
}

async function listMariadb(context: CommandContext, entry: MariadbEntry): Promise<string[]> {
  const listing = await mariadbTool(context, entry)("mariadb", ["--batch", "--skip-column-names", "-e", MARIADB_LIST]);
  return checkListed(await runCommand(context, { what: "listing the MariaDB databases", ...listing }));
}

/** A file name that is valid for any database name. */
function fileOf(
  { server, database }: Omit<StagedDump, "file">,
  { accounts, index }: { accounts: string; index: number },
): string {
  return `${server}-${index}-${(database ?? accounts).replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)}.sql`;
}

/**
 * Loads one dump, in one transaction where the server supports that.
 * @param input `file`: the agent's own
 * @throws `database.failed` with the database's last error line
 */
export async function loadDump(
  context: CommandContext,
  { entry, dump, file }: { entry: PostgresEntry | MariadbEntry; dump: StagedDump; file: string },
): Promise<void> {
  const { database } = dump;
  const what = `loading ${database === null ? "the accounts" : `"${database}"`} into ${dump.server}`;
  context.log.line(what);
  if ("mariadb" in entry) {
    const loading = await mariadbTool(context, entry)("mariadb", ["--batch"]);
    await runCommand(context, { what, ...loading, input: file, code: "database.failed" });
    return;
  }
  const tool = postgresTool(context, entry);
  if (database === null) await allowKnownRoles(file);
  else if (!(await listPostgres(context, entry)).includes(database)) {
    await runCommand(context, {
      what: `creating "${database}"`,
      ...(await tool("createdb", ["--", database])),
      code: "database.failed",
    });
  }
  const strict = ["-Xq", "--set=ON_ERROR_STOP=1", "--single-transaction", "--output=/dev/null"];
  const loading = await tool("psql", [...strict, postgresDatabase(database ?? "postgres")]);
  await runCommand(context, { what, ...loading, input: file, code: "database.failed" });
}

/** A role that already exists is no error: the dump then sets its attributes. */
async function allowKnownRoles(file: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const allowed = text.replace(
    /^CREATE ROLE .*;$/gm,
    (line) => `DO $holdfast$ BEGIN ${line} EXCEPTION WHEN duplicate_object THEN NULL; END $holdfast$;`,
  );
  await writeFile(file, allowed);
}

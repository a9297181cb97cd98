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
import { loadAccounts } from "./mariadb/accounts.ts";
import { dumpArgs, loadMariadb } from "./mariadb/load.ts";
import { loadPostgres } from "./postgres/load.ts";
import { loadRoles } from "./postgres/roles.ts";
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
    // Not compressed, so that the repository stores only what changed.
    const args = ["--format=custom", "--compress=0", postgresDatabase(database)];
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
    const command = await tool("mariadb-dump", dumpArgs(database, { hasRows: true }));
    await add({ server: "mariadb", database }, command);
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
  const ending = server === "postgres" && database !== null ? "pgdump" : "sql";
  return `${server}-${index}-${(database ?? accounts).replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)}.${ending}`;
}

/**
 * Looks whether a dump could be loaded, before anything is written: the tools are installed, their user or container
 * exists. @throws `consistency.failed`, `user.unavailable`
 */
export async function checkLoad(context: CommandContext, entry: PostgresEntry | MariadbEntry): Promise<void> {
  if ("mariadb" in entry) await mariadbTool(context, entry)("mariadb", []);
  else for (const program of ["psql", "pg_restore"]) await postgresTool(context, entry)(program, []);
}

/**
 * Loads one dump. It is data: what it asks for beyond that is refused, by the agent or by the server.
 * @param input `file`: the agent's own
 * @returns warnings: what was not restored as the dump has it
 * @throws `database.failed` with the database's last error line
 */
export async function loadDump(
  context: CommandContext,
  { entry, dump, file }: { entry: PostgresEntry | MariadbEntry; dump: StagedDump; file: string },
): Promise<string[]> {
  const { database } = dump;
  context.log.line(`loading ${database === null ? "the accounts" : `"${database}"`} into ${dump.server}`);
  if ("mariadb" in entry) {
    return database === null
      ? await loadAccounts(context, { entry, file })
      : await loadMariadb(context, { entry, database, file });
  }
  return database === null
    ? await loadRoles(context, { entry, file })
    : await loadPostgres(context, { entry, database, file });
}

import { type Consistency, serverUser } from "../../shared/consistency.ts";
import { containerProgram, type CommandSpec, type CommandContext, requireProgram } from "./run-command.ts";
import { findUser } from "../system/process/find-user.ts";
import { runError } from "../run-error.ts";
import type { RunUser } from "../system/process/user.ts";

export type PostgresEntry = Extract<Consistency, { postgres: string }>;
export type MariadbEntry = Extract<Consistency, { mariadb: string }>;

/**
 * Builds the command line for a program of the server: where it runs, and as which user. Only checked parts go into it.
 */
export type ServerCommand = (
  program: string,
  args: readonly string[],
) => Promise<Pick<CommandSpec, "user" | "command">>;

/**
 * Runs inside the container. Takes the password from the variables of MariaDB and MySQL images, for root or for the
 * image's own user; with other images it changes nothing. The first argument is the account to connect as.
 */
const WITH_PASSWORD = `role=$1; shift
if [ "$role" = "\${MARIADB_USER:-\${MYSQL_USER-}}" ]
then MYSQL_PWD=\${MARIADB_PASSWORD:-\${MYSQL_PASSWORD-}}
else MYSQL_PWD=\${MARIADB_ROOT_PASSWORD:-\${MYSQL_ROOT_PASSWORD-}}
fi
[ -z "$MYSQL_PWD" ] || export MYSQL_PWD
exec "$@"`;

/**
 * Reads two things from stdin before the program does: the password, and the entries of an archive that are wanted, one
 * a line, up to a line with a dot. The password is never in argv.
 */
const WITH_PREFACE = `IFS= read -r PGPASSWORD || exit 1
export PGPASSWORD
ids=
while IFS= read -r id && [ "$id" != . ]; do ids="$ids$id;
"; done
exec "$@" 3<<END
$ids
END`;

/** @param loading the program is fed with a dump, as another role or account; null: the entry's own */
export function postgresTool(
  context: CommandContext,
  entry: PostgresEntry,
  loading?: { role: string | null; account: RunUser | null },
): ServerCommand {
  const { socket, port } = entry;
  const role = loading?.role ?? entry.role ?? (entry.container === undefined ? undefined : "postgres");
  const shell = loading === undefined ? [] : ["sh", "-c", WITH_PREFACE, "sh"];
  const where = [
    "--no-password",
    ...(socket === undefined ? [] : [`--host=${socket}`]),
    ...(port === undefined ? [] : [`--port=${port}`]),
    ...(role === undefined ? [] : [`--username=${role}`]),
  ];
  return async (program, args) => {
    if (entry.container !== undefined) return await inContainer(context, entry, [...shell, program, ...where, ...args]);
    const command = [...shell, await requireProgram(program), ...where, ...args];
    return { user: loading?.account ?? (await findUser(serverUser(entry))), command };
  };
}

/** Reads the password from stdin, before the program reads on. It is never in argv. */
const WITH_PASSWORD_FIRST = `IFS= read -r MYSQL_PWD || exit 1
export MYSQL_PWD
exec "$@"`;

/** @param loading the program is fed with a dump, as an account made for that, and reads no files of options */
export function mariadbTool(
  context: CommandContext,
  entry: MariadbEntry,
  loading?: { role: string; socket: string; account: RunUser | null },
): ServerCommand {
  const { role, socket, port } = entry;
  if (loading !== undefined) {
    const shell = ["sh", "-c", WITH_PASSWORD_FIRST, "sh"];
    const how = ["--no-defaults", `--socket=${loading.socket}`, `--user=${loading.role}`, "--max-allowed-packet=1G"];
    return async (program, args) => {
      if (entry.container !== undefined) return await inContainer(context, entry, [...shell, program, ...how, ...args]);
      const path = await requireProgram(program, OLD_NAMES[program] ?? program);
      return {
        user: loading.account ?? (await findUser(serverUser(entry))),
        command: [...shell, path, ...how, ...args],
      };
    };
  }
  const where = [
    ...(socket === undefined ? [] : [`--socket=${socket}`]),
    ...(port === undefined ? [] : [`--port=${port}`]),
    ...(role === undefined ? [] : [`--user=${role}`]),
  ];
  return async (program, args) => {
    if (entry.container !== undefined) {
      const command = ["sh", "-c", WITH_PASSWORD, "sh", role ?? "root", program, ...where, ...args];
      return await inContainer(context, entry, command);
    }
    const command = [await requireProgram(program, OLD_NAMES[program] ?? program), ...where, ...args];
    return { user: await findUser(serverUser(entry)), command };
  };
}

const OLD_NAMES: Record<string, string> = { mariadb: "mysql", "mariadb-dump": "mysqldump" };

async function inContainer(
  context: CommandContext,
  { container = "", user }: { container?: string | undefined; user?: string | undefined },
  command: readonly string[],
): Promise<Pick<CommandSpec, "command">> {
  const program = await containerProgram(context, container);
  return {
    command: [program, "exec", "-i", ...(user === undefined ? [] : [`--user=${user}`]), container, ...command],
  };
}

/** A name quoted for a connection string: unquoted, one with a `=` would be parsed as more than a name. */
export function postgresDatabase(name: string): string {
  return `--dbname=dbname='${name.replace(/['\\]/g, "\\$&")}'`;
}

/** Names listed by the server may contain anything, a newline too: that only yields names that don't exist. */
export function checkListed(names: readonly string[]): string[] {
  if (names.length === 0) throw runError("consistency.failed", "the server has no database to dump");
  return names.filter((name) => name !== "");
}

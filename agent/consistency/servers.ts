import { type Consistency, serverUser } from "../../shared/consistency.ts";
import { containerProgram, type CommandSpec, type CommandContext, requireProgram } from "./run-command.ts";
import { findUser } from "../system/process/find-user.ts";
import { runError } from "../run-error.ts";

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

export function postgresTool(context: CommandContext, entry: PostgresEntry): ServerCommand {
  const { role = entry.container === undefined ? undefined : "postgres", socket, port } = entry;
  const where = [
    "--no-password",
    ...(socket === undefined ? [] : [`--host=${socket}`]),
    ...(port === undefined ? [] : [`--port=${port}`]),
    ...(role === undefined ? [] : [`--username=${role}`]),
  ];
  return async (program, args) => {
    if (entry.container !== undefined) return await inContainer(context, entry, [program, ...where, ...args]);
    const command = [await requireProgram(program), ...where, ...args];
    return { user: await findUser(serverUser(entry)), command };
  };
}

export function mariadbTool(context: CommandContext, entry: MariadbEntry): ServerCommand {
  const { role, socket, port } = entry;
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

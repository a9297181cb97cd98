import { Readable } from "node:stream";
import { type CommandContext, runCommand } from "../run-command.ts";
import { postgresDatabase, type PostgresEntry, postgresTool } from "../servers.ts";

/** Runs our own SQL as the contract's role, in one transaction. @returns the lines of its result */
export async function runSql(
  context: CommandContext,
  { entry, database, what, sql }: { entry: PostgresEntry; database: string; what: string; sql: string },
): Promise<string[]> {
  const options = ["-XAtq", "--set=ON_ERROR_STOP=1", "--single-transaction", postgresDatabase(database)];
  const command = await postgresTool(context, entry)("psql", options);
  const quiet =
    "SET client_min_messages = warning; SET standard_conforming_strings = on; SET search_path = pg_catalog;\n";
  return await runCommand(context, {
    what,
    ...command,
    stream: Readable.from([`${quiet}${sql}\n`]),
    code: "database.failed",
  });
}

/** A string as PostgreSQL reads it with standard_conforming_strings. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

import { Readable } from "node:stream";
import { type CommandContext, runCommand } from "../run-command.ts";
import { type MariadbEntry, mariadbTool } from "../servers.ts";
import type { Account } from "./contents.ts";

/** Runs our own SQL as the contract's account. @returns the lines of its results */
export async function runSql(
  context: CommandContext,
  { entry, what, sql }: { entry: MariadbEntry; what: string; sql: readonly string[] },
): Promise<string[]> {
  const args = ["--batch", "--skip-column-names", "--raw", "--binary-mode", "--default-character-set=utf8mb4"];
  const command = await mariadbTool(context, entry)("mariadb", args);
  const stream = Readable.from([`SET sql_mode = '';\n${sql.map((one) => `${one};\n`).join("")}`]);
  return await runCommand(context, { what, ...command, stream, code: "database.failed" });
}

/** A string as MariaDB reads it in any mode. */
export function literal(text: string): string {
  return text === "" ? "''" : `CONVERT(X'${Buffer.from(text).toString("hex")}' USING utf8mb4)`;
}

export function identifier(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

export function accountName({ user, host }: Account): string {
  return `${identifier(user)}@${identifier(host)}`;
}

/** In a grant a database's name is a pattern. */
export function grantedDatabase(name: string): string {
  return identifier(name.replace(/[\\_%]/g, "\\$&"));
}

import { readFile } from "node:fs/promises";
import { refusedDump } from "../refused-dump.ts";
import type { CommandContext } from "../run-command.ts";
import type { PostgresEntry } from "../servers.ts";
import { plainParts } from "./plain-dump.ts";
import { readServerFacts, type ServerFacts } from "./facts.ts";
import { runSql } from "./sql.ts";

const NAME = '([a-z_][a-z0-9_$]*|"(?:[^"]|"")+")';
const TEXT = "E?'(?:[^'\\\\]|''|\\\\\\\\)*'";
const FLAG = "(?:NO)?(?:SUPERUSER|INHERIT|CREATEROLE|CREATEDB|LOGIN|REPLICATION|BYPASSRLS)";
const one = (text: string): RegExp => new RegExp(`^${text};$`);

/** The statements that pg_dumpall writes for roles; the first names are whom they are about. */
const CREATE = one(`CREATE ROLE ${NAME}`);
const ALTER = one(
  `ALTER ROLE ${NAME} WITH ((?:${FLAG} ?)+)((?: ?CONNECTION LIMIT -?\\d+| ?PASSWORD ${TEXT}| ?VALID UNTIL ${TEXT})*)`,
);
const SET = one(
  `ALTER ROLE ${NAME}(?: IN DATABASE ${NAME})? SET ${NAME} TO (?:${TEXT}|${NAME})(?:, (?:${TEXT}|${NAME}))*`,
);
const GRANT = one(
  `GRANT ${NAME} TO ${NAME}((?: WITH (?:ADMIN|INHERIT|SET) (?:OPTION|TRUE|FALSE)(?:, (?:ADMIN|INHERIT|SET) (?:OPTION|TRUE|FALSE))*)?)( GRANTED BY ${NAME})?`,
);
const COMMENT = one(`COMMENT ON ROLE ${NAME} IS ${TEXT}`);
const SETTINGS =
  /^SET (?:default_transaction_read_only|client_encoding|standard_conforming_strings|statement_timeout) = [A-Za-z0-9']+;$/;
/** Rights with which a role is, or becomes, as good as a superuser. */
const STRONG = /\b(SUPERUSER|CREATEROLE|REPLICATION|BYPASSRLS)\b/g;

/**
 * Loads the roles of a server, without what makes a superuser: such rights are never taken from a dump, and roles that
 * have them stay as they are. Every statement has to be one that pg_dumpall writes.
 * @returns what was left out, in SQL that root can run
 */
export async function loadRoles(
  context: CommandContext,
  { entry, file }: { entry: PostgresEntry; file: string },
): Promise<string[]> {
  const statements: string[] = [];
  for await (const part of plainParts([await readFile(file, "latin1")])) {
    if (part.kind === "statement" && part.words !== "") statements.push(Buffer.from(part.words, "latin1").toString());
  }
  const server = await readServerFacts(context, { entry, database: "postgres" });
  const settings = await runSql(context, {
    entry,
    database: "postgres",
    what: "asking PostgreSQL which settings anybody may change",
    sql: "SELECT name FROM pg_settings WHERE context = 'user';",
  });
  const { sql, left } = chooseRoles(statements, server, new Set(settings));
  await runSql(context, { entry, database: "postgres", what: "loading the accounts into postgres", sql });
  if (left.length === 0) return [];
  return [`of the accounts, this was left out, which only a superuser may give: ${left.join(" ")}`];
}

export function chooseRoles(
  statements: readonly string[],
  { roles }: Pick<ServerFacts, "roles">,
  settings: ReadonlySet<string>,
): { sql: string; left: string[] } {
  const privileged = new Set(roles.flatMap(({ name, isPrivileged }) => (isPrivileged ? [quoted(name)] : [])));
  const [sql, left]: [string[], string[]] = [[], []];
  for (const statement of statements) {
    if (SETTINGS.test(statement)) continue;
    const create = CREATE.exec(statement);
    const alter = ALTER.exec(statement);
    const grant = GRANT.exec(statement);
    const set = SET.exec(statement);
    const about = [create, alter, set, COMMENT.exec(statement)].find((found) => found !== null)?.[1];
    if (about === undefined && grant === null) throw refusedDump(`"${statement.slice(0, 80)}" is nothing about roles`);
    if (grant !== null) {
      const [, role = "", to = "", options = ""] = grant;
      if (privileged.has(quotedOf(to))) continue;
      if (isStrong(role, privileged)) left.push(statement);
      else sql.push(`GRANT ${role} TO ${to}${options};`);
      continue;
    }
    // Who is privileged here stays as it is, its password too.
    if (about === undefined || privileged.has(quotedOf(about))) continue;
    if (/^"?pg_/.test(about)) throw refusedDump(`${about} is a role of PostgreSQL's own`);
    if (create !== null) {
      sql.push(`DO $holdfast$ BEGIN ${statement} EXCEPTION WHEN duplicate_object THEN NULL; END $holdfast$;`);
    } else if (alter !== null) {
      const [, role = "", flags = "", more = ""] = alter;
      const strong = flags.match(STRONG) ?? [];
      if (strong.length > 0) left.push(`ALTER ROLE ${role} WITH ${strong.join(" ")};`);
      sql.push(`ALTER ROLE ${role} WITH ${flags.replace(STRONG, "NO$1").trim()} ${more.trim()};`);
    } else if (set === null || settings.has((set[3] ?? "").replaceAll('"', "").toLowerCase())) sql.push(statement);
    // Some make the server load a library or run a program's text.
    else left.push(statement);
  }
  return { sql: sql.join("\n"), left };
}

function isStrong(role: string, privileged: ReadonlySet<string>): boolean {
  return /^"?pg_/.test(role) || privileged.has(quotedOf(role));
}

function quotedOf(name: string): string {
  return name.startsWith('"') ? name : `"${name}"`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

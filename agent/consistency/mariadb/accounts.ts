import { createReadStream } from "node:fs";
import { refusedDump } from "../refused-dump.ts";
import type { CommandContext } from "../run-command.ts";
import type { MariadbEntry } from "../servers.ts";
import { wordsOf } from "./contents.ts";
import { dumpStatements } from "./dump-statements.ts";
import { keyOf, type MariadbFacts, readMariadbFacts } from "./facts.ts";
import { runSql } from "./sql.ts";

const TEXT = "'(?:[^'\\\\]|''|\\\\['\\\\])*'";
const NAME = "(`(?:[^`]|``)*`|'[^'\\\\]*')";
const ACCOUNT = `${NAME}@${NAME}`;
const PLUGIN = `\\w+(?: (?:USING|AS) ${TEXT})?`;
const IDENTIFIED = `(?: IDENTIFIED (?:BY PASSWORD ${TEXT}|(?:VIA|WITH) ${PLUGIN}(?: OR ${PLUGIN})*))?`;
const REQUIRED = `(?: REQUIRE (?:NONE|SSL|X509|(?:(?:SUBJECT|ISSUER|CIPHER) ${TEXT} ?)+))?`;
const LIMITS =
  "(?: WITH(?: (?:MAX_QUERIES_PER_HOUR|MAX_UPDATES_PER_HOUR|MAX_CONNECTIONS_PER_HOUR|MAX_USER_CONNECTIONS|MAX_STATEMENT_TIME) [\\d.]+)+)?";
const STATE = "(?: ACCOUNT (?:LOCK|UNLOCK)| PASSWORD EXPIRE(?: NEVER| DEFAULT| INTERVAL \\d+ DAY)?)*";
const one = (text: string): RegExp => new RegExp(`^${text}$`);

/** The statements that mariadb-dump writes for accounts, as it writes them. */
const CREATE = one(`CREATE USER (?:IF NOT EXISTS )?${ACCOUNT}${IDENTIFIED}${REQUIRED}${LIMITS}${STATE}`);
const CREATE_ROLE = one(`CREATE ROLE (?:IF NOT EXISTS )?${NAME}(?: WITH ADMIN \\S+)?`);
const GRANT = one(
  `GRANT ([A-Z][A-Z ,]*(?:\\([^()'\\\\;]*\\)[A-Z ,]*)*) ON ((?:TABLE |FUNCTION |PROCEDURE |PACKAGE |PACKAGE BODY )?(?:\\*|\`(?:[^\`]|\`\`)+\`)\\.(?:\\*|\`(?:[^\`]|\`\`)+\`)) TO ${NAME}(?:@${NAME})?${IDENTIFIED}${REQUIRED}((?: WITH GRANT OPTION)?)${LIMITS}`,
);
const GRANT_ROLE = one(`GRANT ${NAME} TO ${NAME}(?:@${NAME})?(?: WITH ADMIN OPTION)?`);
const DEFAULT_ROLE = one(`SET DEFAULT ROLE (?:NONE|${NAME}) FOR ${ACCOUNT}`);
/** What only prepares the session that loads, or says the same to MySQL. */
const BESIDE =
  /^(?:SET |SELECT COALESCE\(CURRENT_ROLE\(\),'NONE'\) into @current_role$|(?:CREATE|DROP) ROLE (?:IF (?:NOT )?EXISTS )?mariadb_dump_import_role$|GRANT mariadb_dump_import_role TO CURRENT_USER\(\)$|GRANT PROXY ON |ALTER USER '[^'\\]*'@'[^'\\]*' DEFAULT ROLE |EXECUTE IMMEDIATE CONCAT\('SET ROLE ', @current_role\)$)/;
const SERVERS_OWN = /^(?:mysql|sys|information_schema|performance_schema)$/i;

/**
 * Loads the accounts and roles of a server with their rights in databases. Rights over the server itself are never
 * taken from a dump, and accounts that have some stay as they are.
 * @returns what was left out, in SQL that root can run
 */
export async function loadAccounts(
  context: CommandContext,
  { entry, file }: { entry: MariadbEntry; file: string },
): Promise<string[]> {
  const statements: string[] = [];
  for await (const statement of dumpStatements(createReadStream(file, "latin1")))
    statements.push(Buffer.from(wordsOf(statement), "latin1").toString());
  const facts = await readMariadbFacts(context, { entry, database: null });
  const { sql, left } = chooseAccounts(statements, facts);
  await runSql(context, { entry, what: "loading the accounts into mariadb", sql });
  return left.length === 0 ? [] : [`of the accounts, this was left out, which only root may give: ${left.join("; ")}`];
}

/** @throws `database.failed` for a statement that is nothing about accounts */
export function chooseAccounts(
  statements: readonly string[],
  { strong }: Pick<MariadbFacts, "strong">,
): { sql: string[]; left: string[] } {
  const [sql, left]: [string[], string[]] = [[], []];
  const roles = new Set<string>();
  const isStrong = (user: string, host = "``"): boolean =>
    ["root", "mysql", "mariadb.sys"].includes(bare(user)) || strong.has(keyOf({ user: bare(user), host: bare(host) }));
  for (const statement of statements) {
    const create = CREATE.exec(statement);
    const role = CREATE_ROLE.exec(statement);
    const grant = GRANT.exec(statement);
    const member = GRANT_ROLE.exec(statement);
    const first = DEFAULT_ROLE.exec(statement);
    if (create !== null) {
      if (!isStrong(create[1] ?? "", create[2]))
        sql.push(statement.replace(/^CREATE USER (?!IF)/, "CREATE USER IF NOT EXISTS "));
    } else if (role !== null && role[1] !== undefined) {
      roles.add(bare(role[1]));
      if (!isStrong(role[1])) sql.push(`CREATE ROLE IF NOT EXISTS ${role[1]}`);
    } else if (grant !== null) {
      const [, rights = "", place = "", user = "", host] = grant;
      if (isStrong(user, host)) continue;
      const database = /(\*|`(?:[^`]|``)+`)\./.exec(place)?.[1] ?? "*";
      const isHarmless =
        database === "*" ? rights.trim() === "USAGE" : !SERVERS_OWN.test(bare(database)) && !/^`[%_]*`$/.test(database);
      (isHarmless ? sql : left).push(statement);
    } else if (member !== null) {
      const [, given = "", user = "", host] = member;
      if (isStrong(user, host)) continue;
      (isStrong(given) ? left : sql).push(statement);
    } else if (first !== null) {
      if (!isStrong(first[2] ?? "", first[3])) sql.push(statement);
    } else if (!BESIDE.test(statement)) throw refusedDump(`"${statement.slice(0, 80)}" is nothing about accounts`);
  }
  return { sql, left };
}

function bare(name: string): string {
  return name.slice(1, -1).replaceAll("``", "`");
}

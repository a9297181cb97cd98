import { runError } from "../../run-error.ts";
import type { CommandContext } from "../run-command.ts";
import type { MariadbEntry } from "../servers.ts";
import type { Account } from "./contents.ts";
import { literal, runSql } from "./sql.ts";

export interface MariadbFacts {
  /** The contract's account may make accounts and give them rights; else it loads the dump itself. */
  readonly isPrivileged: boolean;
  readonly socket: string;
  readonly isThere: boolean;
  /** [major, minor] of the server. */
  readonly version: readonly [number, number];
  /** Keys of all accounts, and of those who may do more than use the database. */
  readonly accounts: ReadonlySet<string>;
  readonly strong: ReadonlySet<string>;
  readonly leftovers: readonly Account[];
}

/** Accounts that the agent makes for one load; the number is when, in seconds. */
const LOADER = /^holdfast_load_(\d{10})_[0-9a-f]{8}$/;
const LEFT_OVER_SECONDS = 86_400;

export function keyOf({ user, host }: Account): string {
  return `${Buffer.from(user).toString("hex").toUpperCase()} ${Buffer.from(host).toString("hex").toUpperCase()}`;
}

/** Who is who on the server, with regard to one of its databases; null: to all of them. */
export async function readMariadbFacts(
  context: CommandContext,
  { entry, database }: { entry: MariadbEntry; database: string | null },
): Promise<MariadbFacts> {
  const what = "asking MariaDB for its accounts";
  const own = [
    "SELECT CONCAT_WS(' ', @@socket, VERSION(), EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND privilege_type = 'CREATE USER'))",
    `SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ${literal(database ?? "")}`,
  ];
  const [first = "", count = "0"] = await runSql(context, { entry, what, sql: own });
  const [, socket = "", major = "0", minor = "0", mayGrant = "0"] = /^(\S*) (\d+)\.(\d+)\S* ([01])$/.exec(first) ?? [];
  if (socket === "") throw runError("database.failed", "MariaDB's answer about itself can't be read");
  const known = { socket, version: [Number(major), Number(minor)], isThere: count !== "0" } as const;
  if (mayGrant === "0") {
    return { ...known, isPrivileged: false, accounts: new Set(), strong: new Set(), leftovers: [] };
  }
  const lines = await runSql(context, { entry, what, sql: [accountsQuery(database)] });
  const accounts = lines.flatMap((line) => {
    const [user = "", host = "", isStrong] = line.split(" ");
    return isStrong === undefined ? [] : [{ user, host, isStrong: isStrong === "1" }];
  });
  const keys = (some: typeof accounts): Set<string> => new Set(some.map(({ user, host }) => `${user} ${host}`));
  const now = Date.now() / 1000;
  const leftovers = accounts
    .map(({ user, host }) => ({ user: fromHex(user), host: fromHex(host) }))
    .filter(({ user }) => now - Number(LOADER.exec(user)?.[1] ?? now) > LEFT_OVER_SECONDS);
  return {
    ...known,
    isPrivileged: true,
    accounts: keys(accounts),
    strong: keys(accounts.filter((one) => one.isStrong)),
    leftovers,
  };
}

function accountsQuery(database: string | null): string {
  const here = literal(database ?? "");
  const own = "t.user = u.user AND t.host = u.host";
  const elsewhere = (table: string): string =>
    database === null
      ? `EXISTS (SELECT 1 FROM mysql.${table} t WHERE ${own} AND t.db IN ('mysql', 'sys', 'information_schema', 'performance_schema', '%'))`
      : `EXISTS (SELECT 1 FROM mysql.${table} t WHERE ${own} AND BINARY REPLACE(t.db, '\\\\', '') <> BINARY ${here})`;
  const inRole = database === null ? "0" : `EXISTS (SELECT 1 FROM mysql.roles_mapping t WHERE ${own})`;
  return `SELECT CONCAT(HEX(u.user), ' ', HEX(u.host), ' ',
    EXISTS (SELECT 1 FROM information_schema.user_privileges p
      WHERE p.grantee = CONCAT('''', u.user, '''@''', u.host, '''') AND p.privilege_type <> 'USAGE')
    OR ${["db", "tables_priv", "columns_priv", "procs_priv"].map(elsewhere).join(" OR ")} OR ${inRole}
    OR u.user IN ('root', 'mysql', 'mariadb.sys')) FROM mysql.user u`;
}

function fromHex(text: string): string {
  return Buffer.from(text, "hex").toString();
}

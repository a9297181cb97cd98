import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { runError } from "../../run-error.ts";
import type { RunUser } from "../../system/process/user.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { BY_HAND } from "../refused-dump.ts";
import { type MariadbEntry, mariadbTool } from "../servers.ts";
import { type Account, readDump, wordsOf } from "./contents.ts";
import type { DumpStatement } from "./dump-statements.ts";
import { accountName, literal, runSql } from "./sql.ts";

/** The account that loads one dump, and the account of the host whose process it is. */
export interface Loader {
  readonly role: string;
  readonly password: string;
  readonly socket: string;
  /** Null: in a container, or when the agent is not root. */
  readonly account: RunUser | null;
}

/** Makes an account with these rights, and removes it again whatever happens. */
export async function asLoader(
  context: CommandContext,
  input: { entry: MariadbEntry; rights: readonly string[]; account: RunUser | null; socket: string },
  work: (loader: Loader) => Promise<void>,
): Promise<void> {
  const { entry, rights, account, socket } = input;
  const role = `holdfast_load_${Math.floor(Date.now() / 1000)}_${randomBytes(4).toString("hex")}`;
  const password = randomBytes(24).toString("hex");
  const named: Account = { user: role, host: "localhost" };
  const name = accountName(named);
  const sql = [
    `CREATE USER ${name} IDENTIFIED BY '${password}'`,
    ...rights.map((right) => `GRANT ${right} TO ${name}`),
  ];
  const { signal: _signal, timeLimitMs: _timeLimitMs, ...lasting } = context;
  try {
    await runSql(context, { entry, what: "making the account that loads the dump", sql });
    await work({ role, password, socket, account });
  } finally {
    const kill = `SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE user = ${literal(role)}`;
    const running = await runSql(lasting, { entry, what: "looking for what still loads", sql: [kill] });
    const removal = [`DROP USER IF EXISTS ${name}`, ...running.filter((line) => /^KILL \d+$/.test(line))];
    await runSql(lasting, { entry, what: "removing the account that loaded the dump", sql: removal }).catch(
      () => undefined,
    );
  }
}

/**
 * Feeds SQL to the client, which does nothing of its own with it: in binary mode it knows DELIMITER and no other
 * command, and it sends no file. @param loader null: the contract's own account
 */
export async function feed(
  context: CommandContext,
  input: {
    entry: MariadbEntry;
    database: string;
    sql: AsyncIterable<string> | Iterable<string>;
    loader: Loader | null;
  },
): Promise<void> {
  const { entry, database, sql, loader } = input;
  const help = await runCommand(context, {
    what: "asking the client for its options",
    ...(await mariadbTool(context, entry)("mariadb", ["--help"])),
  });
  const hasSandbox = help.some((line) => /^\s*--sandbox\b/.test(line));
  const args = ["--batch", "--binary-mode", "--local-infile=0", ...(hasSandbox ? ["--sandbox"] : [])];
  const command = await mariadbTool(context, entry, loader ?? undefined)("mariadb", args);
  const stream = Readable.from(bytesOf(sql, loader), { objectMode: false });
  const what = `loading "${database}" into mariadb`;
  try {
    await runCommand(context, { what, ...command, stream, code: "database.failed" });
  } catch (error) {
    if (!(error instanceof Error) || !/ERROR 1(?:044|045|142|143|227|370)\b/.test(error.message)) throw error;
    throw runError(
      "database.failed",
      error.message,
      `A dump is loaded with rights in its own database only. ${BY_HAND}`,
    );
  }
}

async function* bytesOf(sql: AsyncIterable<string> | Iterable<string>, loader: Loader | null): AsyncGenerator<Buffer> {
  if (loader !== null) yield Buffer.from(`${loader.password}\n`);
  for await (const one of sql) yield Buffer.from(one, "latin1");
}

/** What fills the database. Views are only names yet, and the first of two that drop each is enough. */
export async function* dataSql(file: string): AsyncGenerator<string> {
  for await (const part of readDump(file)) {
    if (part.kind === "data" && !/^DROP VIEW\b/i.test(wordsOf(part.statement))) yield terminated(part.statement);
  }
}

/** All of it, for an account that has no more rights than the dump needs. */
export async function* wholeSql(file: string): AsyncGenerator<string> {
  for await (const part of readDump(file)) {
    yield terminated(part.kind === "data" ? part.statement : { text: part.program.text, isProgram: true });
  }
}

function terminated({ text, isProgram }: DumpStatement): string {
  return isProgram ? `DELIMITER ;;\n${text};;\nDELIMITER ;\n` : `${text};\n`;
}

import { rm } from "node:fs/promises";
import { runError } from "../../run-error.ts";
import { findIdleAccount } from "../../system/process/idle-account.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { BY_HAND } from "../refused-dump.ts";
import { type MariadbEntry, mariadbTool } from "../servers.ts";
import { type Account, readDump, type StoredProgram } from "./contents.ts";
import { chooseDefiners, type ChosenProgram, programSql } from "./definers.ts";
import { keyOf, type MariadbFacts, readMariadbFacts } from "./facts.ts";
import { asLoader, dataSql, feed, wholeSql } from "./feed.ts";
import { accountName, grantedDatabase, identifier, runSql } from "./sql.ts";

export interface MariadbLoad {
  readonly entry: MariadbEntry;
  readonly database: string;
  /** The agent's own, in a directory of its own. */
  readonly file: string;
}

/** The arguments that dump a whole database, with or without its rows. */
export function dumpArgs(database: string, { hasRows }: { hasRows: boolean }): string[] {
  const whole = ["--routines", "--events", "--triggers", "--hex-blob", "--add-drop-database"];
  return [
    "--single-transaction",
    "--quick",
    ...whole,
    ...(hasRows ? [] : ["--no-data"]),
    "--databases",
    "--",
    database,
  ];
}

/**
 * Loads a dump of one database. The server is asked for it by an account made for this load, which may use this
 * database and nothing else: no file, no other database, no account. Views, triggers, routines and events come last,
 * one by one, with the definers that they may have.
 * @returns warnings: what is defined by another account than the dump says
 * @throws `database.failed`. Before anything is dropped, when the dump is more than data
 */
export async function loadMariadb(context: CommandContext, input: MariadbLoad): Promise<string[]> {
  const { entry, database, file } = input;
  const programs: StoredProgram[] = [];
  for await (const part of readDump(file)) if (part.kind === "program") programs.push(part.program);
  const facts = await readMariadbFacts(context, { entry, database });
  const account = entry.container === undefined ? findIdleAccount(() => false) : null;
  if (!facts.isPrivileged) {
    await feed(context, { ...input, sql: wholeSql(file), loader: null });
    return [];
  }
  if (programs.length > 0 && facts.version[0] === 10 && facts.version[1] < 6) throw tooOldError(facts);
  const restored: Account = { user: `holdfast_${database}`, host: "localhost" };
  const now = facts.isThere && programs.length > 0 ? await programsNow(context, input) : [];
  const chosen = chooseDefiners(programs, { now, facts, restored });
  const { signal: _signal, timeLimitMs: _timeLimitMs, ...lasting } = context;
  await dropAccounts(lasting, { entry, accounts: facts.leftovers });
  const loading = { ...input, account, socket: facts.socket };
  const all = `ALL PRIVILEGES ON ${grantedDatabase(database)}.*`;
  await asLoader(context, { ...loading, rights: [all] }, (loader) =>
    feed(context, { ...input, sql: dataSql(file), loader }),
  );
  const replaced = chosen.filter(({ program, definer }) => definer !== program.definer);
  if (replaced.length > 0) await makeRestored(context, { entry, database, restored });
  const programsOf = (some: readonly ChosenProgram[]): string[] => [
    `USE ${identifier(database)};\n`,
    ...some.map(joinedSql),
  ];
  const [known, others] = [chosen.filter(({ isThere }) => isThere), chosen.filter(({ isThere }) => !isThere)];
  if (known.length > 0) await feed(context, { ...input, sql: programsOf(known), loader: null });
  if (others.length > 0) {
    await asLoader(context, { ...loading, rights: [all, "SET USER ON *.*"] }, (loader) =>
      feed(context, { ...input, sql: programsOf(others), loader }),
    );
  }
  return warningsOf(replaced, { database, restored });
}

function joinedSql(chosen: ChosenProgram): string {
  return programSql(chosen)
    .map((one) => `${one};\n`)
    .join("");
}

/** What is stored in the database now: whoever administers the server has let it in. */
async function programsNow(context: CommandContext, { entry, database, file }: MariadbLoad): Promise<StoredProgram[]> {
  const output = `${file}.now`;
  const command = await mariadbTool(context, entry)("mariadb-dump", dumpArgs(database, { hasRows: false }));
  try {
    await runCommand(context, {
      what: `reading what is stored in "${database}"`,
      ...command,
      output,
      code: "database.failed",
    });
    const programs: StoredProgram[] = [];
    for await (const part of readDump(output)) if (part.kind === "program") programs.push(part.program);
    return programs;
  } catch (error) {
    context.signal?.throwIfAborted();
    context.log.line(
      `  nothing is known of what "${database}" has now: ${error instanceof Error ? error.message : ""}`,
    );
    return [];
  } finally {
    await rm(output, { force: true });
  }
}

/** Nobody can log in as this account: it only defines what may use this database and nothing else. */
async function makeRestored(
  context: CommandContext,
  { entry, database, restored }: { entry: MariadbEntry; database: string; restored: Account },
): Promise<void> {
  const name = accountName(restored);
  const sql = [
    `CREATE USER IF NOT EXISTS ${name} ACCOUNT LOCK`,
    `ALTER USER ${name} ACCOUNT LOCK`,
    `GRANT ALL PRIVILEGES ON ${grantedDatabase(database)}.* TO ${name}`,
  ];
  await runSql(context, { entry, what: `making the account ${name}`, sql });
}

export async function dropAccounts(
  context: CommandContext,
  { entry, accounts }: { entry: MariadbEntry; accounts: readonly Account[] },
): Promise<void> {
  if (accounts.length === 0) return;
  const sql = accounts.map((account) => `DROP USER IF EXISTS ${accountName(account)}`);
  await runSql(context, { entry, what: "removing accounts of earlier loads", sql });
}

function warningsOf(
  replaced: readonly ChosenProgram[],
  { database, restored }: { database: string; restored: Account },
): string[] {
  if (replaced.length === 0) return [];
  const definers = new Map(replaced.map(({ program }) => [keyOf(program.definer), accountName(program.definer)]));
  return [
    `"${database}": ${replaced.length} views, triggers, routines or events are now defined by ${accountName(restored)}, who may use this database only. The dump defines them as ${[...definers.values()].join(", ")}, who may do more, and they are not what was here before. To change that, look at them, and create them again as root.`,
  ];
}

function tooOldError({ version }: MariadbFacts): Error {
  return runError(
    "database.failed",
    `MariaDB ${version.join(".")} can't take views, triggers, routines or events one by one: that needs 10.6`,
    BY_HAND,
  );
}

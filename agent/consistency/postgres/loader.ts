import { randomBytes } from "node:crypto";
import type { RunUser } from "../../system/process/user.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { postgresDatabase, postgresTool } from "../servers.ts";
import { giveAwaySql, LOADER_COMMENT, type Owned } from "./facts.ts";
import type { LoadPlan } from "./plan.ts";
import { identifier, literal, runSql } from "./sql.ts";

/** The role that loads one dump, and the account of the host whose process it is. */
export interface Loader {
  readonly role: string;
  readonly password: string;
  /** The server lets an account in as the role of its name. Null: in a container, or when the agent is not root. */
  readonly account: RunUser | null;
}

/** Owns what a superuser's was, in a database that is a superuser's itself. Nobody can log in as it. */
const RESTORED = "holdfast_restored";
const VALID_MS = 600_000;

/** Makes the role, lends it the ordinary owners' rights, and hands it what belongs to others in the database. */
export async function makeLoader(
  context: CommandContext,
  { plan, account }: { plan: LoadPlan; account: RunUser | null },
): Promise<Loader> {
  const { entry, database, facts, contents, databaseOwner, isOrdinary } = plan;
  const isFree =
    account !== null && !plan.server.roles.some(({ name, isLeftover }) => name === account.name && !isLeftover);
  const role = isFree ? account.name : `holdfast_${randomBytes(6).toString("hex")}`;
  const password = randomBytes(24).toString("hex");
  const owners = [...new Set([databaseOwner, ...facts.objects.map(({ owner }) => owner), ...contents.owners])];
  const lent = owners.filter((owner) => isOrdinary(owner) && owner !== "pg_database_owner");
  const taken = owners.filter((owner) => !isOrdinary(owner));
  const name = identifier(role);
  const until = new Date(Date.now() + VALID_MS).toISOString();
  const sql = [
    `CREATE ROLE ${name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT`,
    `  PASSWORD ${literal(password)} VALID UNTIL ${literal(until)};`,
    `COMMENT ON ROLE ${name} IS ${literal(LOADER_COMMENT)};`,
    `GRANT CONNECT, CREATE, TEMPORARY ON DATABASE ${identifier(database)} TO ${name};`,
    ...lent.map((owner) => `GRANT ${identifier(owner)} TO ${name};`),
    ...(taken.length === 0 ? [] : [giveAwaySql(taken, role)]),
  ].join("\n");
  await runSql(context, { entry, database, what: `making the role that loads "${database}"`, sql });
  return { role, password, account: isFree ? account : null };
}

/**
 * Ends what the role still does, and gives away what it owns.
 * @param isSame the schema is as it was: everything gets its owner back. Otherwise only schemas do, which hold no code
 */
export async function giveBack(
  context: CommandContext,
  { plan, role, isSame }: { plan: LoadPlan; role: string; isSame: boolean },
): Promise<string[]> {
  const { entry, database, databaseOwner, server, facts, contents, isOrdinary } = plan;
  const isPrivileged = server.roles.some(({ name, isPrivileged: is }) => name === databaseOwner && is);
  const target = isPrivileged ? RESTORED : databaseOwner;
  const known = isSame ? facts.objects : facts.objects.filter(isSchema);
  const sql = [
    `ALTER ROLE ${identifier(role)} NOLOGIN;`,
    `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = ${literal(role)};`,
    giveAwaySql(role, known),
    isPrivileged && !server.roles.some(({ name }) => name === RESTORED) ? makeOnceSql(RESTORED) : "",
    `SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND dbid <> 0`,
    `  AND refobjid = ${literal(identifier(role))}::regrole;`,
    `REASSIGN OWNED BY ${identifier(role)} TO ${identifier(target)};`,
  ].join("\n");
  const lines = await runSql(context, { entry, database, what: `giving "${database}" back to its owners`, sql });
  const left = Number(lines.at(-1));
  const others = [...contents.owners].filter((owner) => !isOrdinary(owner) && owner !== target);
  if (isSame || left === 0 || others.length === 0) return [];
  return [
    `"${database}": ${left} objects now belong to ${identifier(target)}. The dump gives some to ${others.map(identifier).join(", ")}, who may do more than use this database, and its schema is not the one that was here. To change that, look at them and, as a superuser: REASSIGN OWNED BY ${identifier(target)} TO …`,
  ];
}

/** Failing here does not undo the load: a role without a way in stays, until the next load removes it. */
export async function removeLoader(
  context: CommandContext,
  { plan, role }: { plan: Pick<LoadPlan, "entry" | "database">; role: string },
): Promise<void> {
  const name = identifier(role);
  // DROP OWNED would also drop what it owns: then the role has to stay.
  const sql = `DO $holdfast$ BEGIN
    IF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND refobjid = ${literal(name)}::regrole)
    THEN RAISE EXCEPTION '% still owns something', ${literal(role)}; END IF; END $holdfast$;
    DROP OWNED BY ${name}; DROP ROLE ${name};`;
  try {
    await runSql(context, { ...plan, what: `removing the role ${name}`, sql });
  } catch (error) {
    context.log.line(`  ${name} is left on the server: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What an agent that was killed has left: the role is removed, what it owns in this database gets an owner. */
export async function removeLeftovers(context: CommandContext, plan: LoadPlan): Promise<void> {
  for (const { name } of plan.server.roles.filter(({ isLeftover }) => isLeftover)) {
    await giveBack(context, { plan, role: name, isSame: false });
    await removeLoader(context, { plan, role: name });
  }
}

/** The database's schema as text, without owners. */
export async function schemaOf(context: CommandContext, { entry, database }: LoadPlan): Promise<string> {
  const args = ["--schema-only", "--no-owner", postgresDatabase(database)];
  const command = await postgresTool(context, entry)("pg_dump", args);
  const lines = await runCommand(context, {
    what: `reading the schema of "${database}"`,
    ...command,
    code: "database.failed",
  });
  // These two hold a word that is different every time.
  const first = lines.findIndex((line) => /^\\restrict \w+$/.test(line));
  const last = lines.findLastIndex((line) => /^\\unrestrict \w+$/.test(line));
  return lines.filter((_line, index) => index !== first && index !== last).join("\n");
}

/** The same after a load, with the schemas' owners as before: that of "public" shows. */
export async function schemaAfter(
  context: CommandContext,
  { plan, role }: { plan: LoadPlan; role: string },
): Promise<string> {
  const { entry, database, facts } = plan;
  const sql = giveAwaySql(role, facts.objects.filter(isSchema));
  await runSql(context, { entry, database, what: `giving back the schemas of "${database}"`, sql });
  return await schemaOf(context, plan);
}

/** A schema holds no code itself. */
function isSchema({ type }: Owned): boolean {
  return type === "schema";
}

function makeOnceSql(role: string): string {
  return `CREATE ROLE ${identifier(role)} NOLOGIN;`;
}

import { findIdleAccount } from "../../system/process/idle-account.ts";
import type { LoadPlan, PostgresLoad } from "./plan.ts";
import type { RunUser } from "../../system/process/user.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { postgresTool, type PostgresEntry } from "../servers.ts";
import { type DumpContents, isArchive, readArchiveContents, readPlainContents } from "./contents.ts";
import { readDatabaseFacts, readServerFacts, type ServerFacts } from "./facts.ts";
import { feed } from "./feed.ts";
import { giveBack, makeLoader, removeLeftovers, removeLoader, schemaAfter, schemaOf } from "./loader.ts";

/**
 * Loads a dump of one database: all of it or nothing. The server is asked for it by a role made for this load, which
 * is no superuser and may do nothing outside the database: a dump runs no program, reads no file and changes no role.
 * What is a superuser's would be a superuser's code afterwards: it is given back to that role only when the schema is
 * as it was here before the load.
 * @returns warnings: what belongs to another role than the dump says
 * @throws `database.failed`
 */
export async function loadPostgres(context: CommandContext, input: PostgresLoad): Promise<string[]> {
  const { entry, database, file } = input;
  const account = entry.container === undefined ? findIdleAccount(() => false) : null;
  const contents = (await isArchive(file))
    ? await readArchiveContents(context, { entry, account, file })
    : await readPlainContents(file);
  const before = await readServerFacts(context, { entry, database });
  const isMissing = !before.databases.some(({ name }) => name === database);
  if (isMissing) await createDatabase(context, { entry, database, owner: ownerOf(contents, before) });
  const server = isMissing ? await readServerFacts(context, { entry, database }) : before;
  const facts = await readDatabaseFacts(context, { entry, database });
  if (!server.isSuperuser) {
    await feed(context, { ...input, contents, facts, loader: null, isOrdinary: () => true, isWithoutOwners: false });
    return [];
  }
  const databaseOwner = server.databases.find(({ name }) => name === database)?.owner ?? "";
  const isOrdinary = ordinaryRoles(server, databaseOwner);
  const isWithoutOwners = [...contents.owners].some((owner) => !isOrdinary(owner));
  const plan = { ...input, contents, server, facts, databaseOwner, isOrdinary, isWithoutOwners };
  return await loadAsLoader(context, { plan, account });
}

async function loadAsLoader(
  context: CommandContext,
  { plan, account }: { plan: LoadPlan; account: RunUser | null },
): Promise<string[]> {
  const { facts, isOrdinary, isWithoutOwners } = plan;
  // What has to be undone is not cancelled.
  const { signal: _signal, timeLimitMs: _timeLimitMs, ...lasting } = context;
  await removeLeftovers(context, plan);
  const mustCompare = isWithoutOwners || facts.objects.some(({ owner }) => !isOrdinary(owner));
  const before = mustCompare ? await schemaOf(context, plan) : "";
  const loader = await makeLoader(context, { plan, account });
  try {
    try {
      await feed(context, { ...plan, loader });
    } catch (error) {
      await giveBack(lasting, { plan, role: loader.role, isSame: true });
      throw error;
    }
    const isSame = !mustCompare || before === (await schemaAfter(lasting, { plan, role: loader.role }));
    return await giveBack(lasting, { plan, role: loader.role, isSame });
  } finally {
    await removeLoader(lasting, { plan, role: loader.role });
  }
}

function ordinaryRoles({ roles }: ServerFacts, databaseOwner: string): (role: string) => boolean {
  const ordinary = new Set(
    roles.flatMap(({ name, isPrivileged, isElsewhere }) => (isPrivileged || isElsewhere ? [] : [name])),
  );
  // Its only member is the database's owner.
  if (ordinary.has(databaseOwner)) ordinary.add("pg_database_owner");
  return (role) => ordinary.has(role);
}

function ownerOf({ databaseOwner }: DumpContents, { roles, isSuperuser }: ServerFacts): string | null {
  const isThere = roles.some(({ name, isPrivileged }) => name === databaseOwner && !isPrivileged);
  return isSuperuser && isThere ? databaseOwner : null;
}

async function createDatabase(
  context: CommandContext,
  { entry, database, owner }: { entry: PostgresEntry; database: string; owner: string | null },
): Promise<void> {
  const args = [...(owner === null ? [] : [`--owner=${owner}`]), "--", database];
  const command = await postgresTool(context, entry)("createdb", args);
  await runCommand(context, { what: `creating "${database}"`, ...command, code: "database.failed" });
}

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { RunError, runError } from "../../run-error.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { BY_HAND } from "../refused-dump.ts";
import { postgresDatabase, postgresTool } from "../servers.ts";
import { defaultsRoleIn, extensionIn, extensionOf, ownerIn, plainFile } from "./contents.ts";
import type { LoadPlan } from "./plan.ts";
import type { Loader } from "./loader.ts";

/** @param loader null: the contract's own role, which is no superuser */
export type Feeding = Omit<LoadPlan, "server" | "databaseOwner"> & { readonly loader: Loader | null };

const STRICT = ["--single-transaction"];

/**
 * Feeds the dump to pg_restore, which sends SQL and nothing else; a plain one, as the agent made them until 0.2, to
 * psql, without anything that psql would do itself. Extensions that are there already stay as they are: only a
 * superuser could make some of them again. @throws `database.failed` with the database's last error line
 */
export async function feed(context: CommandContext, feeding: Feeding): Promise<void> {
  const { entry, database, contents, isWithoutOwners, loader } = feeding;
  const program = contents.isArchive ? "pg_restore" : "psql";
  const own = contents.isArchive
    ? ["--clean", "--if-exists", "--exit-on-error", "--use-list=/dev/fd/3", ...(isWithoutOwners ? ["--no-owner"] : [])]
    : ["-Xq", "--set=ON_ERROR_STOP=1", "--output=/dev/null"];
  const tool = postgresTool(context, entry, loader ?? { role: null, account: null });
  const command = await tool(program, [...own, ...STRICT, postgresDatabase(database)]);
  const stream = Readable.from(await inputOf(context, feeding), { objectMode: false });
  const what = `loading "${database}" into postgres`;
  try {
    await runCommand(context, { what, ...command, stream, code: "database.failed" });
  } catch (error) {
    if (!(error instanceof RunError) || !/permission denied|must be (?:superuser|owner|able)/.test(error.message))
      throw error;
    throw runError("database.failed", error.message, `${ADVICE} ${BY_HAND}`);
  }
}

const ADVICE =
  "Nothing was changed. A dump is loaded without the rights of a superuser. Make what only a superuser can, such as an extension, on the server first, then restore again.";

async function inputOf(context: CommandContext, feeding: Feeding): Promise<AsyncIterable<Buffer>> {
  const { contents, file, loader } = feeding;
  const ids = contents.isArchive ? wantedEntries(feeding) : [];
  const preface = Buffer.from(`${[loader?.password ?? "", ...ids, "."].join("\n")}\n`);
  const isRestrictable = !contents.isArchive && (await canRestrict(context, feeding));
  return contents.isArchive
    ? joined(preface, createReadStream(file))
    : joined(preface, plainInput(feeding, isRestrictable));
}

async function* joined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

function wantedEntries({ contents, facts, isOrdinary }: Feeding): string[] {
  const wanted = contents.entries.filter((entry) => {
    const extension = extensionOf(entry);
    if (extension !== null) return !facts.extensions.includes(extension);
    if (entry.text.startsWith("DATABASE ")) return false;
    // Of roles that are not lent, the defaults on the server stay.
    return !entry.text.startsWith("DEFAULT ACL ") || isOrdinary(entry.text.slice(entry.text.lastIndexOf(" ") + 1));
  });
  return wanted.map(({ id }) => id);
}

async function* plainInput({ file, facts, isOrdinary }: Feeding, isRestrictable: boolean): AsyncGenerator<Buffer> {
  if (isRestrictable) yield Buffer.from(`\\restrict ${randomBytes(24).toString("hex")}\n`);
  for await (const part of plainFile(file)) {
    if (part.kind === "restrict") continue;
    if (part.kind === "statement") {
      const role = ownerIn(part.words) ?? defaultsRoleIn(part.words);
      const extension = extensionIn(part.words);
      if ((role !== null && !isOrdinary(role)) || (extension !== null && facts.extensions.includes(extension)))
        continue;
    }
    yield Buffer.from(part.text, "latin1");
  }
}

/** Whether this psql can be told to refuse its own commands from then on. */
async function canRestrict(context: CommandContext, { entry }: Feeding): Promise<boolean> {
  const help = await postgresTool(context, entry)("psql", ["--help=commands"]);
  const lines = await runCommand(context, { what: "asking psql for its commands", ...help });
  return lines.some((line) => line.includes("\\restrict"));
}

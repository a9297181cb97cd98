import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import type { RunUser } from "../../system/process/user.ts";
import { type CommandContext, runCommand } from "../run-command.ts";
import { type PostgresEntry, postgresTool } from "../servers.ts";
import { plainParts, type PlainPart } from "./plain-dump.ts";

/** What a dump says of itself, which decides nothing but how it is loaded. */
export interface DumpContents {
  readonly isArchive: boolean;
  /** Roles that its objects are to belong to. */
  readonly owners: ReadonlySet<string>;
  /** Whom the database belonged to, where the dump says it. */
  readonly databaseOwner: string | null;
  /** The archive's entries, in its order; of a plain dump, none. */
  readonly entries: readonly ArchiveEntry[];
}

export interface ArchiveEntry {
  readonly id: string;
  /** Type, schema, name and owner, as pg_restore prints them. */
  readonly text: string;
}

const OWNER = /^ALTER .* OWNER TO (?:"((?:[^"]|"")+)"|([a-z_][a-z0-9_$]*));$/;
const EXTENSION =
  /^(?:DROP EXTENSION IF EXISTS|CREATE EXTENSION IF NOT EXISTS|COMMENT ON EXTENSION) ("?)([A-Za-z0-9_-]+)\1\b/;
const DEFAULTS = /^ALTER DEFAULT PRIVILEGES FOR ROLE (?:"((?:[^"]|"")+)"|([a-z_][a-z0-9_$]*)) /;

export function ownerIn(words: string): string | null {
  return nameIn(OWNER.exec(words));
}

export function extensionIn(words: string): string | null {
  return EXTENSION.exec(words)?.[2] ?? null;
}

export function defaultsRoleIn(words: string): string | null {
  return nameIn(DEFAULTS.exec(words));
}

function nameIn(found: RegExpExecArray | null): string | null {
  if (found === null) return null;
  return fromLatin1(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
}

/** An archive begins with its own mark; everything else is taken for a plain dump. */
export async function isArchive(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(5), 0, 5, 0);
    return buffer.toString("latin1") === "PGDMP";
  } finally {
    await handle.close();
  }
}

/** Reads a plain dump to its end. @throws `database.failed` when it is more than data */
export async function readPlainContents(file: string): Promise<DumpContents> {
  const owners = new Set<string>();
  for await (const part of plainFile(file)) {
    const owner = part.kind === "statement" ? ownerIn(part.words) : null;
    if (owner !== null) owners.add(owner);
  }
  return { isArchive: false, owners, databaseOwner: null, entries: [] };
}

export function plainFile(file: string): AsyncGenerator<PlainPart> {
  return plainParts(createReadStream(file, { encoding: "latin1", highWaterMark: 2 ** 18 }));
}

/** Asks pg_restore, which is given no way to a server. @param account who runs it, unless in a container */
export async function readArchiveContents(
  context: CommandContext,
  { entry, account, file }: { entry: PostgresEntry; account: RunUser | null; file: string },
): Promise<DumpContents> {
  const command = await postgresTool(context, entry, { role: null, account })("pg_restore", ["--list", "--create"]);
  const input = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from("\n.\n");
    yield* createReadStream(file);
  };
  const stream = Readable.from(input(), { objectMode: false });
  const what = "listing what is in the dump";
  const lines = await runCommand(context, { what, ...command, stream, code: "database.failed" });
  const entries = lines.flatMap((line) => {
    const [, id = "", text = ""] = /^(\d+); \d+ \d+ (.+)$/.exec(line) ?? [];
    return id === "" ? [] : [{ id, text }];
  });
  const named = entries.filter(({ text }) => !text.endsWith(" "));
  const owned = named.map(({ text }) => text.slice(text.lastIndexOf(" ") + 1));
  const databaseOwner =
    named
      .find(({ text }) => text.startsWith("DATABASE - "))
      ?.text.split(" ")
      .at(-1) ?? null;
  return { isArchive: true, owners: new Set(owned), databaseOwner, entries };
}

/** The type of an entry that is about an extension, and its name. */
export function extensionOf({ text }: ArchiveEntry): string | null {
  return /^(?:EXTENSION - |COMMENT - EXTENSION )([A-Za-z0-9_-]+) $/.exec(text)?.[1] ?? null;
}

function fromLatin1(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}

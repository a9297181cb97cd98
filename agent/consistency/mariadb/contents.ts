import { createReadStream } from "node:fs";
import { refusedDump } from "../refused-dump.ts";
import { type DumpStatement, dumpStatements } from "./dump-statements.ts";

/** An account as MariaDB names it; the host of a role is empty. */
export interface Account {
  readonly user: string;
  readonly host: string;
}

/** A view, trigger, routine or event: it runs with the rights of the account that defines it. */
export interface StoredProgram {
  /** The whole CREATE statement, as the dump has it (latin1). */
  readonly text: string;
  readonly definer: Account;
  /** The settings it was made with, as SQL. */
  readonly settings: readonly string[];
}

export type DumpPart =
  | { readonly kind: "data"; readonly statement: DumpStatement }
  | { readonly kind: "program"; readonly program: StoredProgram };

const ALLOWED =
  /^(?:SET|USE|INSERT|REPLACE|LOCK TABLES|UNLOCK TABLES|ALTER (?:TABLE|DATABASE)|DROP (?:TABLE|VIEW|DATABASE|SEQUENCE|FUNCTION|PROCEDURE|EVENT|TRIGGER|PACKAGE(?: BODY)?)|CREATE|DO SETVAL|COMMIT|START TRANSACTION)\b/i;
const OPENING = /^\/\*M?!\d+ /;
const VALUE = "(?:@@\\w+|@\\w+|'[^'\\\\]*'|[\\w+.:-]+)";
const ASSIGNMENT = `@?\\w+\\s*=\\s*${VALUE}`;
const SET = new RegExp(`^SET\\s+(?:NAMES\\s+(\\w+)|${ASSIGNMENT}(?:\\s*,\\s*${ASSIGNMENT})*)\\s*$`, "i");
const EACH = new RegExp(`(@?)(\\w+)\\s*=\\s*(${VALUE})`, "g");
/** In these, or with these modes, client and server read quotes and backslashes in another way. */
const UNSAFE_CHARSET = /^'?(?:big5|gbk|sjis|cp932|gb18030|ucs2|utf16\w*|utf32)'?$/i;
const UNSAFE_MODE = /NO_BACKSLASH_ESCAPES/i;
/** What a stored program keeps of the session that made it. */
const KEPT = ["sql_mode", "character_set_client", "collation_connection", "time_zone"];

/** In the mode ANSI_QUOTES it stands between double quotes. */
const NAME = '(`(?:[^`]|``)*`|"(?:[^"]|"")*")';
const PROGRAM = new RegExp(
  `^(?:/\\*!5\\d{4} )?CREATE(?: OR REPLACE)?(?: ALGORITHM=[A-Z]+)?\\s*(?:\\*/\\s*/\\*!5\\d{4} )?\\s*DEFINER=${NAME}@${NAME}` +
    `(?: SQL SECURITY (?:DEFINER|INVOKER))?\\s*(?:\\*/\\s*/\\*!5\\d{4} )?\\s*` +
    "(?:TRIGGER|EVENT|VIEW|PROCEDURE|FUNCTION|AGGREGATE FUNCTION|PACKAGE|PACKAGE BODY)\\s",
  "i",
);

/**
 * Reads a dump of one database: what fills it, and what is stored in it to be run later.
 * @throws `database.failed` when there is anything else in it
 */
export async function* readDump(file: string): AsyncGenerator<DumpPart> {
  yield* dumpParts(createReadStream(file, { encoding: "latin1", highWaterMark: 2 ** 18 }));
}

export async function* dumpParts(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<DumpPart> {
  const kept = new Map<string, string>();
  const saved = new Map<string, string>();
  for await (const statement of dumpStatements(chunks)) {
    const words = wordsOf(statement);
    if (!ALLOWED.test(words)) throw refusedDump(`"${words.slice(0, 80)}" is nothing that a dump holds`);
    if (/^SET\b/i.test(words)) readSettings(words, { kept, saved });
    const [found, user = "", host = ""] = PROGRAM.exec(statement.text) ?? [];
    if (found === undefined) yield { kind: "data", statement };
    else {
      const definer = { user: nameOf(user), host: nameOf(host) };
      const settings = KEPT.map((name) => `SET ${name} = ${kept.get(name) ?? "DEFAULT"}`);
      yield { kind: "program", program: { text: statement.text, definer, settings } };
    }
  }
}

/** A statement without the comment signs around all of it. */
export function wordsOf({ text }: DumpStatement): string {
  const opening = OPENING.exec(text)?.[0];
  return opening === undefined ? text : text.slice(opening.length).replace(/\s*\*\/$/, "");
}

/** Follows what mariadb-dump sets, keeps and sets back. Anything else that is set is refused. */
function readSettings(words: string, { kept, saved }: { kept: Map<string, string>; saved: Map<string, string> }): void {
  const [found, names] = SET.exec(words) ?? [];
  if (found === undefined || UNSAFE_CHARSET.test(names ?? "")) throw refusedSetting(words);
  if (names !== undefined) kept.set("character_set_client", names);
  for (const [, isVariable, name = "", value = ""] of names === undefined ? words.matchAll(EACH) : []) {
    const lower = name.toLowerCase();
    if (isVariable === "@") {
      // Such a variable only ever holds what the session had.
      if (!value.startsWith("@@")) throw refusedSetting(words);
      const held = kept.get(value.slice(2).toLowerCase());
      if (held === undefined) saved.delete(lower);
      else saved.set(lower, held);
      continue;
    }
    if (lower === "sql_mode" && UNSAFE_MODE.test(value)) throw refusedSetting(words);
    if (/^character_set|^collation/.test(lower) && UNSAFE_CHARSET.test(value)) throw refusedSetting(words);
    if (!KEPT.includes(lower)) continue;
    const now = value.startsWith("@") ? saved.get(value.slice(1).toLowerCase()) : value;
    if (now === undefined) kept.delete(lower);
    else kept.set(lower, now);
  }
}

function refusedSetting(words: string): Error {
  return refusedDump(`"${words.slice(0, 120)}" changes how a dump is read`);
}

function nameOf(quoted: string): string {
  const [quote = ""] = quoted;
  return Buffer.from(quoted.slice(1, -1).replaceAll(quote + quote, quote), "latin1").toString("utf8");
}

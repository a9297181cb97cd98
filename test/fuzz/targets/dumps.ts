import { type DumpPart, dumpParts } from "../../../agent/consistency/mariadb/contents.ts";
import { type PlainPart, plainParts } from "../../../agent/consistency/postgres/plain-dump.ts";
import { RunError } from "../../../agent/run-error.ts";
import type { Dice } from "../../support/random.ts";
import { one, spoilText } from "../mutation.ts";
import { mustHold, type Target } from "../target.ts";

/**
 * Dumps that somebody has spoiled, or put commands of the clients into: they are refused, or the clients find nothing
 * in them that is a command of theirs, in whatever way they read strings. However the bytes come, it is the same.
 */
export const dumps: Target = {
  name: "dumps",
  share: 10,
  casesPerRound: 20_000,
  begin: () =>
    Promise.resolve({
      play: (dice) => (dice.isLucky(0.5) ? playPostgres(dice) : playMariadb(dice)),
      end: () => Promise.resolve(),
    }),
};

const POSTGRES = [
  "--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3\n\n",
  "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n",
  "SELECT pg_catalog.set_config('search_path', '', false);\n",
  "CREATE TABLE public.t (\n    n integer NOT NULL,\n    s text DEFAULT E'it''s \\\\'::text,\n    CHECK ((s ~ '^\\d+$'::text))\n);\n",
  'COMMENT ON TABLE public."odd "" \\name" IS \'a\nb; \\! id\';\n',
  "CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE sql\n    AS $_$ SELECT '\\'; -- $1 $$ $_$;\n",
  "COPY public.t (n, s) FROM stdin;\n1\tone\n2\t\\N\n3\t\\\\.\n\\.\n\n",
  'COPY public."odd name" ("x y") FROM stdin;\n\\.\n',
  "/* a /* nested */ comment \\! */ SELECT 1;\n",
  "ALTER TABLE public.t OWNER TO app;\n\\unrestrict aB3\n",
];
const MARIADB = [
  "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n",
  "/*!40101 SET NAMES utf8mb4 */;\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n",
  "/*!40000 DROP DATABASE IF EXISTS `app`*/;\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `app`;\nUSE `app`;\n",
  "INSERT INTO `t` VALUES\n(1,0x00FF,'it\\'s \\\\ \\\"x\\\" \\n ; -- # \\\\'),(2,NULL,'');\n",
  "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`app`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.n = 1; END */;;\nDELIMITER ;\n",
  "DELIMITER ;;\nCREATE DEFINER=`root`@`localhost` PROCEDURE `p`()\nbegin select 1; /* c */ select ';'; end\n;;\nDELIMITER ;\n",
  "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select '*/ ;' AS `x` */;\n",
  "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n# a comment \\! id\n",
  "/*!50003 SET @saved_sql_mode = @@sql_mode */ ;\n/*!50003 SET sql_mode = @saved_sql_mode */ ;\n",
];
const COMMANDS = [
  "\\! id",
  "\\o |id",
  "\\copy t from program 'id'",
  "system id",
  "source /x",
  "\\.",
  "tee /x",
  "pager id",
];
const AROUND = [
  "",
  "\n",
  "'",
  '"',
  "`",
  "$$",
  "/*",
  "*/",
  "-- ",
  "\r",
  ";",
  "E'",
  "\\'",
  "(",
  "\\\\'",
  "\u0095\\'",
  "''",
  "/*!40101 ",
  "DELIMITER ;;\n",
  ";;",
  "COPY public.t (n) FROM stdin;\n",
  "\n\\.\n",
  "BEGIN",
  "CREATE ",
];

function dumpOf(dice: Dice, pieces: readonly string[]): string {
  let text = Array.from({ length: 1 + dice.below(6) }, () => one(dice, pieces)).join("");
  for (let left = dice.below(4); left > 0; left--) {
    const at = dice.below(text.length + 1);
    const put = `${one(dice, AROUND)}${dice.isLucky(0.5) ? one(dice, COMMANDS) : ""}${one(dice, AROUND)}`;
    text = text.slice(0, at) + put + text.slice(at);
  }
  // Bytes, one per character; a zero byte is always refused.
  return dice.isLucky(0.3) ? Buffer.from(spoilText(dice, text)).toString("latin1").replaceAll("\0", "?") : text;
}

/** The text in pieces of any size. */
function* chunksOf(dice: Dice, text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    const size = dice.pick([1, 7, 300, 5_000]);
    yield text.slice(at, at + size);
    at += size;
  }
}

async function taken<T>(parts: AsyncGenerator<T>): Promise<T[] | string> {
  try {
    const all: T[] = [];
    for await (const part of parts) all.push(part);
    return all;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    return error.message;
  }
}

async function playPostgres(dice: Dice): Promise<void> {
  const text = dumpOf(dice, POSTGRES);
  const whole = await taken<PlainPart>(plainParts([text]));
  const cut = await taken<PlainPart>(plainParts(chunksOf(dice, text)));
  const flat = (parts: PlainPart[] | string): string =>
    typeof parts === "string" ? "refused" : parts.map(({ text: one_ }) => one_).join("");
  mustHold(flat(whole) === flat(cut), () => `pieces make a difference: ${JSON.stringify(text)}`);
  if (typeof whole === "string") return;
  mustHold(flat(whole) === text, () => `something is lost of ${JSON.stringify(text)}`);
  const left = flat(whole.filter(({ kind }) => kind !== "restrict"));
  for (const isStandard of [true, false]) {
    const found = psqlCommand(left, isStandard);
    mustHold(found === null, () => `psql would run ${JSON.stringify(found)} of ${JSON.stringify(text)}`);
  }
}

/** What psql itself would do, told by one expression: quotes, comments, rows; null: nothing. */
function psqlCommand(text: string, isStandard: boolean): string | null {
  const plain = isStandard ? "'(?:[^']|'')*'" : "'(?:[^'\\\\]|''|\\\\[^])*'";
  const token = new RegExp(
    `[eE]'(?:[^'\\\\]|''|\\\\[^])*'|${plain}|"(?:[^"]|"")*"|\\$([A-Za-z_\\u0080-\\u00ff][\\w\\u0080-\\u00ff]*)?\\$[^]*?\\$\\1\\$|--[^\\r\\n]*|COPY\\s(?:[^;"]|"(?:[^"]|"")*")*\\sFROM\\s+stdin;\\n(?:(?!\\\\\\.\\r?(?:\\n|$))[^\\n]*\\n)*\\\\\\.(?:\\r?\\n|$)|[A-Za-z_\\u0080-\\u00ff][\\w$\\u0080-\\u00ff]*|[^]`,
    "y",
  );
  let isStart = true;
  for (let at = 0; at < text.length;) {
    if (text.startsWith("/*", at)) {
      at = commentEnd(text, at);
      continue;
    }
    token.lastIndex = at;
    const whole = token.exec(text)?.[0] ?? text[at] ?? "";
    const found: string = !isStart && /^COPY\s/.test(whole) ? "COPY" : whole;
    if (found === "\\") return text.slice(at, at + 20);
    if (!/^(?:\s|--)/.test(found)) isStart = found === ";" || found.startsWith("COPY");
    at += found.length;
  }
  return null;
}

function commentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 2) {
    while (at < text.length && !text.startsWith("/*", at) && !text.startsWith("*/", at)) at++;
    depth += text.startsWith("/*", at) ? 1 : -1;
    if (depth === 0) return at + 2;
  }
  return text.length;
}

const FIRST = /^(?:SET|USE|INSERT|REPLACE|LOCK|UNLOCK|ALTER|DROP|CREATE|DO|COMMIT|START)\b/i;

async function playMariadb(dice: Dice): Promise<void> {
  const text = dumpOf(dice, MARIADB);
  const whole = await taken<DumpPart>(dumpParts([text]));
  const cut = await taken<DumpPart>(dumpParts(chunksOf(dice, text)));
  const kinds = (parts: DumpPart[] | string): string => (typeof parts === "string" ? "refused" : JSON.stringify(parts));
  mustHold(kinds(whole) === kinds(cut), () => `pieces make a difference: ${JSON.stringify(text)}`);
  if (typeof whole === "string") return;
  for (const part of whole) {
    const { text: statement } = part.kind === "data" ? part.statement : part.program;
    const words = statement.replace(/^\/\*M?!\d+ /, "");
    mustHold(FIRST.test(words), () => `takes ${JSON.stringify(statement)} of ${JSON.stringify(text)}`);
    const bare = statement.replace(
      /'(?:[^'\\]|\\[^])*'|"[^"]*"|`[^`]*`|\/\*(?!!|M!)[^]*?\*\/|#[^\n]*|--(?=\s)[^\n]*|\\N/g,
      " ",
    );
    mustHold(!bare.includes("\\"), () => `takes a backslash in ${JSON.stringify(statement)}`);
  }
}

import { refusedDump } from "../refused-dump.ts";
import type { RunError } from "../../run-error.ts";

/** What a plain dump is made of, in its order. `text` holds bytes, one per character (latin1). */
export type PlainPart =
  /** One SQL statement, with the space and comments before it. `words` is its beginning, without comments. */
  | { readonly kind: "statement"; readonly text: string; readonly words: string; readonly isCopy: boolean }
  /** Some of the rows that follow a COPY statement; the last of them is the line `\.`. */
  | { readonly kind: "rows"; readonly text: string }
  /** A line of psql's own that newer versions of pg_dump write: it only restricts psql. */
  | { readonly kind: "restrict"; readonly text: string };

/** No statement of a dump is longer: rows come by COPY. */
const MOST_STATEMENT_BYTES = 256 * 2 ** 20;
const MOST_WORDS = 8192;
/** The longest thing that has to be seen whole: an identifier, or a dollar quote's delimiter. */
const LOOKAHEAD = 256;

const NAME = `(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")`;
const COPY = new RegExp(`^COPY ${NAME}(?:\\.${NAME})? (?:\\((?:${NAME}(?:, ${NAME})*)?\\) )?FROM stdin;$`);
const RESTRICT = /^\\(?:un)?restrict [A-Za-z0-9]+\r?\n/;
const ROWS_END = /^\\\.(?:\r?\n|$)/;
const IDENTIFIER = /[A-Za-z_\u0080-\u00ff][A-Za-z0-9_$\u0080-\u00ff]*/y;
const NUMBER = /[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?/y;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\u00ff][A-Za-z0-9_\u0080-\u00ff]*)?\$/y;
const SPACE = /[ \t\n\r\f\v]+/y;
const STARTS_NAME = /[A-Za-z_\u0080-\u00ff]/;
const ENCODING = /^SET client_encoding = '([A-Za-z0-9_]+)';$/;
/** Encodings of clients in which a backslash may be half of a character. */
const UNSAFE_ENCODINGS = new Set(["SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"]);

/**
 * Takes a plain dump of pg_dump apart as psql would, and refuses what psql would not send to the server: its own
 * commands. What psql reads differently depending on settings that a dump can change is refused too, so that both
 * agree on where a string, a comment and a statement end. Source: psql's psqlscan.l and copy.c.
 * @param chunks bytes as latin1 text
 * @throws `database.failed` naming the line
 */
export async function* plainParts(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<PlainPart> {
  const reader = new PlainReader();
  for await (const chunk of chunks) yield* reader.read(chunk, false);
  yield* reader.read("", true);
}

type Inside = "code" | "string" | "name" | "dollar quote" | "line comment" | "comment" | "rows";

class PlainReader {
  private rest = "";
  private line = 1;
  private inside: Inside = "code";
  /** The delimiter of a dollar quote. */
  private tag = "";
  /** How deep a comment is nested. */
  private depth = 0;
  /** How many parentheses are open: a semicolon between them ends nothing. */
  private open = 0;
  private text = "";
  private words = "";
  private hasCreate = false;
  private isEnded = false;
  private isLineStart = true;

  *read(chunk: string, isLast: boolean): Generator<PlainPart> {
    if (chunk.includes("\0")) throw this.refusal("a zero byte");
    if (this.line === 1 && (this.rest + chunk).startsWith("\u00ef\u00bb\u00bf"))
      throw this.refusal("a mark of its encoding");
    this.rest += chunk;
    let at = 0;
    const end = isLast ? this.rest.length : this.rest.length - LOOKAHEAD;
    while (at < end) {
      const from = at;
      let part: PlainPart | null = null;
      if (this.inside === "rows") {
        at = this.rows(at, end);
        part = { kind: "rows", text: this.rest.slice(from, at) };
      } else if (this.inside === "code" && this.rest[at] === "\\") {
        const restrict = RESTRICT.exec(this.rest.slice(at, at + LOOKAHEAD))?.[0];
        if (restrict === undefined || this.words !== "" || !this.isLineStart)
          throw this.refusal("a command of psql's own");
        if (this.text !== "") yield this.pending();
        at += restrict.length;
        part = { kind: "restrict", text: restrict };
      } else {
        at = this.step(at, end);
        this.text += this.rest.slice(from, at);
        if (this.text.length > MOST_STATEMENT_BYTES) throw this.refusal("a statement of more than 256 MiB");
        if (this.isEnded) {
          part = this.statement();
          // The rows begin on the next line: what else stands on this one, psql would do after them.
          if (part.isCopy) {
            if (this.rest[at++] !== "\n") throw this.refusal("something behind a COPY");
            part = { ...part, text: `${part.text}\n` };
          }
        }
      }
      this.count(from, at);
      if (part !== null) yield part;
    }
    this.rest = this.rest.slice(at);
    if (!isLast) return;
    if (this.inside !== "code" && this.inside !== "line comment")
      throw this.refusal("its end in the middle of something");
    if (this.words.trim() !== "") throw this.refusal("a statement without an end");
    if (this.text !== "") yield this.pending();
  }

  private count(from: number, to: number): void {
    for (let next = this.rest.indexOf("\n", from); next !== -1 && next < to; next = this.rest.indexOf("\n", next + 1))
      this.line++;
    this.isLineStart = this.rest[to - 1] === "\n";
  }

  /** Space and comments that no statement follows. */
  private pending(): PlainPart {
    const { text } = this;
    this.text = "";
    return { kind: "statement", text, words: "", isCopy: false };
  }

  private statement(): Extract<PlainPart, { kind: "statement" }> {
    const words = this.words.trim();
    const isCopy = /^copy\b/i.test(words);
    const part = { kind: "statement", text: this.text, words, isCopy } as const;
    [this.text, this.words, this.hasCreate, this.isEnded] = ["", "", false, false];
    if (isCopy) {
      if (!COPY.test(words) || !part.text.endsWith(words)) throw this.refusal("a COPY that pg_dump doesn't write");
      this.inside = "rows";
    }
    if (/\bclient_encoding\b/i.test(words) || /^set\s+names\b/i.test(words)) {
      const encoding = ENCODING.exec(words)?.[1];
      if (encoding === undefined || UNSAFE_ENCODINGS.has(encoding.toUpperCase()))
        throw this.refusal("an encoding in which characters hide others");
    }
    return part;
  }

  /** @returns where the next piece begins */
  private step(at: number, end: number): number {
    switch (this.inside) {
      case "code":
        return this.code(at);
      case "line comment": {
        // For psql a carriage return ends it as well.
        const next = firstOf(this.rest, /[\r\n]/g, at);
        if (next === -1) return end;
        this.inside = "code";
        return next + 1;
      }
      case "comment": {
        const next = firstOf(this.rest, /\*\/|\/\*/g, at);
        if (next === -1) return Math.max(at + 1, end);
        this.depth += this.rest[next] === "*" ? -1 : 1;
        if (this.depth === 0) this.inside = "code";
        return next + 2;
      }
      case "dollar quote": {
        const next = this.rest.indexOf(this.tag, at);
        if (next === -1) return Math.max(at + 1, end);
        this.inside = "code";
        return next + this.tag.length;
      }
      default:
        return this.quoted(at, end);
    }
  }

  private code(at: number): number {
    const [char = "", next = ""] = [this.rest[at], this.rest[at + 1]];
    const token = (kind: RegExp): string => {
      kind.lastIndex = at;
      return kind.exec(this.rest)?.[0] ?? "";
    };
    if (char === "-" && next === "-") return this.enter("line comment", at + 2, this.gap());
    if (char === "/" && next === "*") {
      this.depth = 1;
      return this.enter("comment", at + 2, this.gap());
    }
    if (char === "'") return this.enter("string", at + 1, char);
    if (char === '"') return this.enter("name", at + 1, char);
    if (char === "$") {
      this.tag = token(DOLLAR_QUOTE);
      if (this.tag === "" || this.tag.length > LOOKAHEAD / 2) throw this.refusal("a $ that begins no quoted text");
      return this.enter("dollar quote", at + this.tag.length, "$$");
    }
    if (/[0-9]/.test(char)) {
      const number = token(NUMBER);
      if (number.length > LOOKAHEAD / 2 || /[A-Za-z_$\u0080-\u00ff]/.test(this.rest[at + number.length] ?? ""))
        throw this.refusal("a number that doesn't end");
      return this.take(at, number, number);
    }
    if (STARTS_NAME.test(char)) return this.name(at, token(IDENTIFIER));
    const space = token(SPACE);
    if (space !== "") return this.take(at, space, this.gap());
    if (char === ":" && next === ":") return this.take(at, "::", "::");
    if (char === ":" && /[A-Za-z_'"{\u0080-\u00ff]/.test(next)) throw this.refusal("a variable of psql's own");
    if (char === "(") this.open++;
    if (char === ")" && this.open > 0) this.open--;
    if (char === ";" && this.open === 0) this.isEnded = true;
    return this.take(at, char, char);
  }

  /** What stands for space and comments between two words. */
  private gap(): string {
    return this.words === "" || this.words.endsWith(" ") ? "" : " ";
  }

  private name(at: number, word: string): number {
    if (word.length > LOOKAHEAD / 2) throw this.refusal("a name that doesn't end");
    const lower = word.toLowerCase();
    if (lower === "create") this.hasCreate = true;
    // psql would look for the END of such a body, which has semicolons in it.
    if (lower === "begin" && this.hasCreate && this.open === 0) throw this.refusal("a function with an unquoted body");
    return this.take(at, word, word);
  }

  /**
   * A doubled quote ends one piece and begins the next, which is the same in the end. Backslashes before a quote mean
   * different things in different settings and encodings. pg_dump doubles quotes, and backslashes where they count.
   */
  private quoted(at: number, end: number): number {
    const quote = this.inside === "name" ? '"' : "'";
    const next = this.rest.indexOf(quote, at);
    if (next === -1) return this.take(at, this.rest.slice(at, end), this.rest.slice(at, end).slice(0, MOST_WORDS));
    if (quote === "'") {
      const near = Math.max(at, next - LOOKAHEAD);
      const before = (near === at ? this.text.slice(-LOOKAHEAD) : "") + this.rest.slice(near, next);
      const run = /\\*$/.exec(before)?.[0].length ?? 0;
      const isClear = run === 0 || (run % 2 === 0 && (before.at(-run - 1) ?? "").charCodeAt(0) < 0x80);
      if (!isClear || run >= LOOKAHEAD) throw this.refusal("a backslash before a quote");
    }
    this.inside = "code";
    return this.take(at, this.rest.slice(at, next + 1), this.rest.slice(at, Math.min(next + 1, at + MOST_WORDS)));
  }

  /** @returns where the rows that are here end: before the line `\.`, or, when it is next, behind it */
  private rows(at: number, end: number): number {
    if (this.isLineStart) {
      const last = ROWS_END.exec(this.rest.slice(at, at + 4))?.[0];
      if (last !== undefined) {
        this.inside = "code";
        return at + last.length;
      }
    }
    for (let from = at; ;) {
      const next = this.rest.indexOf("\n\\.", from);
      if (next === -1 || next >= end) return Math.max(end, at + 1);
      if (ROWS_END.test(this.rest.slice(next + 1, next + 5))) return next + 1;
      from = next + 1;
    }
  }

  private enter(inside: Inside, at: number, words: string): number {
    this.inside = inside;
    this.words += words;
    return at;
  }

  private take(at: number, token: string, words: string): number {
    if (this.words.length < MOST_WORDS) this.words += words;
    return at + token.length;
  }

  private refusal(what: string): RunError {
    return refusedDump(`line ${this.line} has ${what}`);
  }
}

function firstOf(text: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? -1;
}

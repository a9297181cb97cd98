import type { RunError } from "../../run-error.ts";
import { refusedDump } from "../refused-dump.ts";

/** One statement of a dump, without its delimiter. `text` holds bytes, one per character (latin1). */
export interface DumpStatement {
  /** From its first word, or the first comment that the server executes, on. */
  readonly text: string;
  /** Its semicolons are its own: it came between two lines with DELIMITER. */
  readonly isProgram: boolean;
}

const MOST_STATEMENT_BYTES = 256 * 2 ** 20;
const LOOKAHEAD = 256;

/** mariadb-dump begins with it: newer clients then refuse commands that reach files. Others take it for a comment. */
const SANDBOX = "/*M!999999\\- enable the sandbox mode */";
const DELIMITER = /DELIMITER (;;?)\r?\n/y;
/** What neither ends nor begins anything. */
const NOTHING_SPECIAL = /[^'"`/#;\\*\n-]+/y;
/** Up to the quote that ends it. A backslash takes the next character along. */
const IN_QUOTES = { "'": /(?:[^'\\]+|\\[^])*/y, '"': /[^"]*/y, "`": /[^`]*/y } as const;
/** Comments that every MariaDB executes. Higher numbers it takes for MySQL's, and skips some. */
const EXECUTED = /\/\*!([34]\d{4}|50[0-6]\d\d) /y;
/** Comments that some servers execute and some clients leave out: the same to all where they hold nothing special. */
const SOMETIMES = /\/\*(?:M!1\d{5}|!80\d{3}) (?:[^'"`\\*]|\*(?!\/)|'(?:[^'\\*])*'|`[^`*]*`)*\*\//y;

/**
 * Takes a dump of mariadb-dump apart as client and server would, and refuses what the client would not send to the
 * server: its own commands. What both would read differently is refused too. Source: client/mysql.cc, sql/sql_lex.cc.
 * @param chunks bytes as latin1 text
 * @throws `database.failed` naming the line
 */
export async function* dumpStatements(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<DumpStatement> {
  const reader = new StatementReader();
  for await (const chunk of chunks) yield* reader.read(chunk, false);
  yield* reader.read("", true);
}

type Quote = keyof typeof IN_QUOTES;

class StatementReader {
  private rest = "";
  private line = 1;
  private inside: "code" | "line comment" | "comment" | Quote = "code";
  private isExecuted = false;
  private delimiter = ";";
  private text = "";
  private isLineStart = true;

  *read(chunk: string, isLast: boolean): Generator<DumpStatement> {
    if (chunk.includes("\0")) throw this.refusal("a zero byte");
    this.rest += chunk;
    let at = 0;
    const end = isLast ? this.rest.length : this.rest.length - LOOKAHEAD;
    while (at < end) {
      const from = at;
      if (this.inside === "code" && this.text === "" && this.isLineStart && this.hasCommand(at)) {
        at += this.command(at);
      } else if (this.inside === "code" && this.rest.startsWith(this.delimiter, at)) {
        // The client would end the statement here, the server the comment later.
        if (this.isExecuted) throw this.refusal("a delimiter in a comment");
        at += this.delimiter.length;
        if (this.text !== "") yield { text: this.text.trimEnd(), isProgram: this.delimiter === ";;" };
        this.text = "";
      } else at = this.step(at, end);
      if (this.text.length > MOST_STATEMENT_BYTES) throw this.refusal("a statement of more than 256 MiB");
      for (let next = this.rest.indexOf("\n", from); next !== -1 && next < at; next = this.rest.indexOf("\n", next + 1))
        this.line++;
      this.isLineStart = this.rest[at - 1] === "\n";
    }
    this.rest = this.rest.slice(at);
    if (!isLast) return;
    const isWhole = this.text.trim() === "" && (this.inside === "code" || this.inside === "line comment");
    if (!isWhole) throw this.refusal("a statement without an end");
  }

  private hasCommand(at: number): boolean {
    return this.rest.startsWith(SANDBOX, at) || /^delimiter/i.test(this.rest.slice(at, at + 9));
  }

  private command(at: number): number {
    if (this.rest.startsWith(SANDBOX, at)) return SANDBOX.length;
    const [line = "", delimiter] = match(DELIMITER, this.rest, at) ?? [];
    if (delimiter === undefined) throw this.refusal("a delimiter that mariadb-dump doesn't write");
    this.delimiter = delimiter;
    return line.length;
  }

  private step(at: number, end: number): number {
    switch (this.inside) {
      case "code":
        return this.code(at);
      case "line comment":
      case "comment": {
        const ending = this.inside === "comment" ? "*/" : "\n";
        const next = this.rest.indexOf(ending, at);
        const to = next === -1 ? Math.max(at + 1, end) : next + ending.length;
        if (next !== -1) this.inside = "code";
        return this.text === "" ? to : this.take(at, to);
      }
      default:
        return this.quoted(this.inside, at);
    }
  }

  private code(at: number): number {
    const [char = "", next = ""] = [this.rest[at], this.rest[at + 1]];
    if (char === "\\" && !(next === "N" && this.text !== "")) throw this.refusal("a command of the client's own");
    if (char === "'" || char === '"' || char === "`") {
      this.inside = char;
      return this.take(at, at + 1);
    }
    if (char === "#" || (char === "-" && next === "-" && /[\s]/.test(this.rest[at + 2] ?? "\n"))) {
      this.inside = "line comment";
      return this.text === "" ? at + 1 : this.take(at, at + 1);
    }
    if (char === "-" && next === "-" && this.text === "") throw this.refusal("a comment without a space");
    if (char === "/" && next === "*") return this.comment(at);
    if (char === "*" && next === "/") {
      if (!this.isExecuted) throw this.refusal("the end of a comment that didn't begin");
      this.isExecuted = false;
      return this.take(at, at + 2);
    }
    if (/\s/.test(char) && this.text === "") return at + 1;
    const plain = match(NOTHING_SPECIAL, this.rest, at)?.[0].length ?? 1;
    return this.take(at, at + plain);
  }

  private comment(at: number): number {
    const sometimes = match(SOMETIMES, this.rest, at)?.[0];
    if (sometimes !== undefined && !this.isExecuted) return this.take(at, at + sometimes.length);
    const executed = match(EXECUTED, this.rest, at)?.[0];
    if (executed !== undefined && !this.isExecuted) {
      this.isExecuted = true;
      return this.take(at, at + executed.length);
    }
    if (/^\/\*(?:M?!|\+)/.test(this.rest.slice(at, at + 4))) throw this.refusal("a comment that only some execute");
    this.inside = "comment";
    return this.text === "" ? at + 2 : this.take(at, at + 2);
  }

  /** A doubled quote ends one piece and begins the next, which is the same in the end. */
  private quoted(quote: Quote, at: number): number {
    const stop = at + (match(IN_QUOTES[quote], this.rest, at)?.[0].length ?? 0);
    if (this.rest[stop] !== quote) {
      if (stop === at) throw this.refusal("a string without an end");
      return this.take(at, stop);
    }
    // What a backslash means between double quotes depends on the server's mode.
    const before = stop === at ? this.text.at(-1) : this.rest[stop - 1];
    if (quote === '"' && before === "\\") throw this.refusal("a backslash before a double quote");
    this.inside = "code";
    return this.take(at, stop + 1);
  }

  private take(from: number, to: number): number {
    this.text += this.rest.slice(from, to);
    return to;
  }

  private refusal(what: string): RunError {
    return refusedDump(`line ${this.line} has ${what}`);
  }
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

import { type CodeRange, type Part, type Pattern, readPattern, type Token } from "./pattern-parts.ts";

/** The pattern for restic's `--exclude=…`. Throws when it is no ExcludePattern. */
export function resticPattern(text: string): string {
  const { isAnchored, parts } = read(text);
  const names = parts.map((part) => (part.is === "names" ? "**" : part.tokens.map(resticToken).join("")));
  const path = (isAnchored ? "/" : "") + names.join("/");
  return path.startsWith("!") ? `\\${path}` : path;
}

/**
 * The pattern for borg's `--exclude=…`: a regular expression for the path without its leading slash. Throws like
 * resticPattern.
 */
export function borgPattern(text: string): string {
  return `re:${expressionOf(read(text), "\\Z")}`;
}

/**
 * Whether a pattern excludes a path, or a directory above it.
 * @param path absolute, without `.`, `..` or a trailing slash
 */
export function isExcluded(text: string, path: string): boolean {
  return excludeMatcher([text])(path);
}

/** The same for many patterns, prepared for many paths. Throws like resticPattern. */
export function excludeMatcher(texts: readonly string[]): (path: string) => boolean {
  const expressions = texts.map((text) => new RegExp(expressionOf(read(text), "$"), "u"));
  return (path) => expressions.some((expression) => expression.test(path.slice(1)));
}

function read(text: string): Pattern {
  const result = readPattern(text);
  if (!result.ok) throw new Error(`exclude pattern ${JSON.stringify(text)}: ${result.message}`);
  return result.pattern;
}

function resticToken(token: Token): string {
  switch (token.is) {
    case "one":
      return "?";
    case "any":
      return "*";
    case "text":
      return token.text.replace(/[\\*?[]/g, "\\$&");
    case "class":
      return `[${token.isNegated ? "^" : ""}${token.ranges.map(resticRange).join("")}]`;
  }
}

function resticRange([first, last]: CodeRange): string {
  const [from, to] = [first, last].map((code) => String.fromCodePoint(code).replace(/[\\\]^-]/g, "\\$&"));
  return first === last ? `${from}` : `${from}-${to}`;
}

/** A regular expression for both Python and JavaScript, which differ only in the token for the end. */
function expressionOf({ isAnchored, parts }: Pattern, end: string): string {
  const groups = { count: 0 };
  let expression = isAnchored ? "^" : "(?:^|/)";
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    if (part.is === "name") expression += nameExpression(part, groups) + (isLast ? "" : "/");
    else if (isLast) expression = expression.slice(0, -1);
    else expression += "(?:[^/]+/)*";
  }
  return `${expression}(?:/|${end})`;
}

/**
 * The text between two `*` is matched at its first occurrence and stays there: a lookahead with a backreference
 * prevents a name of many equal characters from being tried in every combination.
 */
function nameExpression({ tokens }: Extract<Part, { is: "name" }>, groups: { count: number }): string {
  const [head = "", ...chunks] = chunksOf(tokens);
  const last = chunks.pop();
  const middle = chunks.map((chunk) => `(?=([^/]*?${chunk}))\\${++groups.count}`);
  return head + middle.join("") + (last === undefined ? "" : `[^/]*${last}`);
}

/** The expressions before, between and after its `*`. */
function chunksOf(tokens: readonly Token[]): string[] {
  const chunks = [""];
  for (const token of tokens) {
    if (token.is === "any") chunks.push("");
    else chunks.push((chunks.pop() ?? "") + characterExpression(token));
  }
  return chunks;
}

function characterExpression(token: Exclude<Token, { is: "any" }>): string {
  if (token.is === "one") return "[^/]";
  if (token.is === "text") return token.text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const ranges = token.ranges.flatMap(withoutSlash);
  const members = ranges.map(([first, last]) => `${member(first)}-${member(last)}`).join("");
  if (token.isNegated) return `[^/${members}]`;
  return members === "" ? "(?!)" : `[${members}]`;
}

const SLASH = 0x2f;

/** No character of a name is a slash, whatever a range contains. */
function withoutSlash([first, last]: CodeRange): CodeRange[] {
  if (first > SLASH || last < SLASH) return [[first, last]];
  const sides: CodeRange[] = [
    [first, SLASH - 1],
    [SLASH + 1, last],
  ];
  return sides.filter(([from, to]) => from <= to);
}

function member(code: number): string {
  const character = String.fromCodePoint(code);
  return code < 0x80 && !/[A-Za-z0-9]/.test(character) ? `\\x${code.toString(16).padStart(2, "0")}` : character;
}

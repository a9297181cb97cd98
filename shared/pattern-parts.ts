/** Code points from the first to the last, both included. */
export type CodeRange = readonly [first: number, last: number];

/** One piece of a name: this text, one character, any number of characters, or one of a class. */
export type Token =
  | { readonly is: "text"; readonly text: string }
  | { readonly is: "one" }
  | { readonly is: "any" }
  | { readonly is: "class"; readonly isNegated: boolean; readonly ranges: readonly CodeRange[] };

/** One name of a path, or any number of names. */
export type Part = { readonly is: "names" } | { readonly is: "name"; readonly tokens: readonly Token[] };

export interface Pattern {
  /** Starts at the root; otherwise at any depth. */
  readonly isAnchored: boolean;
  readonly parts: readonly Part[];
}

export type ReadPattern =
  | { readonly ok: true; readonly pattern: Pattern }
  | { readonly ok: false; readonly message: string };

const MOST_WILDCARDS = 32;

/** Parses a pattern into its parts, or reports what is wrong with it and what to do. */
export function readPattern(text: string): ReadPattern {
  try {
    return { ok: true, pattern: parse(text) };
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    return { ok: false, message: error.message };
  }
}

class PatternError extends Error {}

function parse(text: string): Pattern {
  if (text.includes("\0") || text.includes("\n"))
    throw new PatternError("must not contain NUL or a newline: '?' matches one");
  if (/\p{Surrogate}/u.test(text))
    throw new PatternError("must be whole Unicode: '?' matches a byte that is not UTF-8");
  if (text.startsWith("!")) {
    throw new PatternError("must not begin with '!': a pattern only ever leaves out; write '\\!' for the character");
  }
  const isAnchored = text.startsWith("/");
  const parts = text
    .split("/")
    .filter((name) => name !== "" && name !== ".")
    .map(partOf);
  const wildcards = parts.reduce((sum, part) => sum + wildcardsIn(part), 0);
  if (wildcards > MOST_WILDCARDS) throw new PatternError(`must not have more than ${MOST_WILDCARDS} wildcards`);
  const isEverything = parts.every(({ is }) => is === "names");
  if (isEverything) throw new PatternError("would leave out everything");
  // A pattern without a leading slash starts at any depth anyway.
  const first = parts.findIndex(({ is }) => is === "name");
  return { isAnchored, parts: (isAnchored ? parts : parts.slice(first)).filter(isNotRepeated) };
}

function wildcardsIn(part: Part): number {
  return part.is === "names" ? 1 : part.tokens.filter(({ is }) => is !== "text").length;
}

function isNotRepeated(part: Part, index: number, parts: readonly Part[]): boolean {
  return part.is !== "names" || parts[index - 1]?.is !== "names";
}

function partOf(name: string): Part {
  if (name === "**") return { is: "names" };
  const tokens: Token[] = [];
  const rest = Array.from(name);
  while (rest.length > 0) tokens.push(takeToken(rest));
  for (const [index, { is }] of tokens.entries()) {
    if (is === "any" && tokens[index + 1]?.is === "any") {
      throw new PatternError("'**' must stand alone between slashes: it means any number of directories");
    }
  }
  const part = ordered(joined(tokens));
  const [only] = part;
  if (part.length === 1 && only?.is === "text" && /^\.\.?$/.test(only.text)) {
    throw new PatternError(`'${name}' must not be part of it: paths have no such names`);
  }
  refuseSplitCharacters(part);
  return { is: "name", tokens: part };
}

function takeToken(rest: string[]): Token {
  const character = rest.shift() ?? "";
  if (character === "*") return { is: "any" };
  if (character === "?") return { is: "one" };
  if (character === "[") return takeClass(rest);
  if (character !== "\\") return { is: "text", text: character };
  const escaped = rest.shift();
  if (escaped === undefined) throw new PatternError("'\\' must be followed by the character it takes literally");
  return { is: "text", text: escaped };
}

function takeClass(rest: string[]): Token {
  if (rest[0] === "!") {
    throw new PatternError("'[!' means different things to different tools: write '[^' for all but these, or '[\\!'");
  }
  const isNegated = rest[0] === "^";
  if (isNegated) rest.shift();
  const ranges: CodeRange[] = [];
  while (rest[0] !== "]" || ranges.length === 0) {
    const first = takeMember(rest);
    if (rest[0] !== "-") {
      ranges.push(rangeOf(first, first));
      continue;
    }
    rest.shift();
    ranges.push(rangeOf(first, takeMember(rest)));
  }
  rest.shift();
  return { is: "class", isNegated, ranges };
}

function takeMember(rest: string[]): string {
  const character = rest.shift();
  if (character === undefined) throw new PatternError("'[' must be closed by ']' before the next '/'");
  if (character === "]" || character === "-") {
    throw new PatternError(`'${character}' must be written as '\\${character}' at this place in a class`);
  }
  if (character !== "\\") return character;
  const escaped = rest.shift();
  if (escaped === undefined) throw new PatternError("'[' must be closed by ']' before the next '/'");
  return escaped;
}

const REPLACEMENT = 0xfffd;

function rangeOf(first: string, last: string): CodeRange {
  const range: CodeRange = [first.codePointAt(0) ?? 0, last.codePointAt(0) ?? 0];
  if (range[0] > range[1]) throw new PatternError(`'${first}-${last}' must run upwards`);
  // In restic, U+FFFD matches every byte that is not UTF-8; in borg, those bytes are lone surrogates.
  const reachesBytes = range[0] <= REPLACEMENT && range[1] >= REPLACEMENT;
  const reachesSurrogates = range[0] < 0xd800 && range[1] > 0xdfff;
  if (reachesBytes || reachesSurrogates)
    throw new PatternError(`'${first}-${last}' must not reach over U+D800 or U+FFFD`);
  return range;
}

function joined(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (const token of tokens) {
    const before = result.at(-1);
    if (token.is === "text" && before?.is === "text")
      result.splice(-1, 1, { ...token, text: before.text + token.text });
    else result.push(token);
  }
  return result;
}

/** `?` before `*`: the same names, and restic then never takes a part of a character for a whole one. */
function ordered(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (let index = 0; index < tokens.length;) {
    const length = tokens.slice(index).findIndex(({ is }) => is !== "one" && is !== "any");
    const run = tokens.slice(index, length === -1 ? undefined : index + length);
    result.push(...run.filter(({ is }) => is === "one"), ...run.filter(({ is }) => is === "any").slice(0, 1));
    index += run.length;
    const next = tokens[index];
    if (next !== undefined) result.push(next);
    index++;
  }
  return result;
}

/** After `*` restic also tries from the middle of a multi-byte character, where `[^…]` matches single bytes of it. */
function refuseSplitCharacters(tokens: readonly Token[]): void {
  for (const [index, token] of tokens.entries()) {
    if (token.is !== "class" || !token.isNegated || tokens[index - 1]?.is !== "any") continue;
    const next = tokens[index + 1];
    if (next?.is === "one" || (next?.is === "class" && next.isNegated)) {
      throw new PatternError("after '*[^…]' there must not be '?' or another '[^…]' at once: tools disagree about it");
    }
    if (token.ranges.some(([, last]) => last > 0x7f)) {
      throw new PatternError("'[^…]' right after '*' must name ASCII characters only: tools disagree about others");
    }
  }
}

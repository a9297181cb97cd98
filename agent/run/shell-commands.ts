/** One word of a command: its text, or null when bash makes it only when it runs. */
interface Word {
  readonly raw: string;
  readonly text: string | null;
}

type Separator = ";" | "|" | "&&" | "||";
type Token = Word | Separator;

/**
 * The simple commands of a script that are sure to be started, as words, before it can succeed under errexit and
 * pipefail. Whatever is not plain pipelines in a row gives none: a branch, a function, a substitution, a here-document.
 * @returns of each command its words; null for a word that bash makes only when it runs
 */
export function sureCommands(script: string): (string | null)[][] {
  const tokens = tokensOf(script);
  if (tokens === null) return [];
  const lists = splitAt(tokens, ";").filter((list) => list.length > 0);
  const sure: (string | null)[][] = [];
  for (const [index, list] of lists.entries()) {
    const commands = splitAt(list, "|", "&&", "||").map(toCommand);
    const isLast = index === lists.length - 1;
    for (const command of commands) {
      if (command === "unclear") return [];
      // A failure on the left of `||`, or of `&&` in the middle of a script, does not end it.
      const counts = !list.includes("||") && (isLast || !list.includes("&&"));
      if (counts && command.words.length > 0) sure.push(command.words);
    }
    if (commands.some((command) => command !== "unclear" && command.isExec)) return sure;
  }
  return sure;
}

/** What may change which commands run at all, or what their names mean. */
const UNCLEAR = new Set(
  "if then else elif fi for while until do done case esac select function time coproc [[ ]] { } ! in . source eval alias hash enable shopt trap exit return builtin unset declare readonly".split(
    " ",
  ),
);
const ASSIGNMENT = /^([A-Za-z_][A-Za-z0-9_]*)(\[.*\])?\+?=/;

function toCommand(tokens: readonly Token[]): { words: (string | null)[]; isExec: boolean } | "unclear" {
  const words = tokens.filter((token) => typeof token !== "string");
  const assigned = words.findIndex(({ raw }) => !ASSIGNMENT.test(raw));
  const before = assigned === -1 ? words : words.slice(0, assigned);
  let rest = assigned === -1 ? [] : words.slice(assigned);
  if (before.some(({ raw }) => setsPath(raw))) return "unclear";
  const isExec = rest[0]?.text === "exec";
  if (isExec || rest[0]?.text === "command") rest = rest.slice(1);
  const [first, ...others] = rest;
  // A name that is not known yet, or an option of `exec` or `command`.
  if (first === undefined || first.text === null || first.text.startsWith("-")) return { words: [], isExec };
  if (UNCLEAR.has(first.text)) return "unclear";
  if (first.text === "set" && others.some(({ text }) => text === null || text.startsWith("+"))) return "unclear";
  if (first.text === "export" && others.some(({ raw }) => setsPath(raw))) return "unclear";
  return { words: rest.map(({ text }) => text), isExec };
}

function setsPath(raw: string): boolean {
  return ASSIGNMENT.exec(raw)?.[1] === "PATH";
}

function splitAt(tokens: readonly Token[], ...separators: Separator[]): Token[][] {
  const parts: Token[][] = [[]];
  for (const token of tokens) {
    if (typeof token === "string" && separators.includes(token)) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

/** In the order in which they are tried. `null`: what this does not understand. */
const PIECES: [RegExp, "blank" | "comment" | "redirection" | Separator | null][] = [
  [/(?:[ \t]|\\\n)+/y, "blank"],
  [/#[^\n]*/y, "comment"],
  [/<<|<\(|>\(/y, null],
  [/\d*(?:>>|>\||>&|<&|<>|>|<)[ \t]*|&>>?[ \t]*/y, "redirection"],
  [/&&/y, "&&"],
  [/\|\|/y, "||"],
  [/\|&?/y, "|"],
  [/;;|[&()]/y, null],
  [/[;\n]/y, ";"],
];

/** A word's parts: literal text is in group 1, 2 or 3, what bash makes when it runs in none. */
const PART =
  /'([^']*)'|"([^"$`\\]*)"|\\([^\n])|"(?:[^"$`\\]|\\.|\$(?:\w+|\{\w+\}|(?=[^\w{(])))*"|\$(?:\w+|\{\w+\}|[?#@*$!-])|([^\s'"\\$`|&;()<>*?[\]{}~]+)|[*?[\]{}~]/y;

/** @returns null when there is anything in it that this does not understand */
function tokensOf(script: string): Token[] | null {
  const tokens: Token[] = [];
  let at = 0;
  let isTarget = false;
  while (at < script.length) {
    const piece = pieceAt(script, at);
    if (piece !== null) {
      if (piece.kind === null) return null;
      at = piece.end;
      if (piece.kind === "redirection") isTarget = true;
      else if (piece.kind !== "blank" && piece.kind !== "comment") tokens.push(piece.kind);
      continue;
    }
    const word = wordAt(script, at);
    if (word === null) return null;
    at += word.raw.length;
    // A redirection's target is no word of the command.
    if (!isTarget) tokens.push(word);
    isTarget = false;
  }
  return tokens;
}

function pieceAt(script: string, at: number): { kind: (typeof PIECES)[number][1]; end: number } | null {
  for (const [pattern, kind] of PIECES) {
    pattern.lastIndex = at;
    if (pattern.test(script)) return { kind, end: pattern.lastIndex };
  }
  return null;
}

function wordAt(script: string, from: number): Word | null {
  let text: string | null = "";
  let at = from;
  for (;;) {
    PART.lastIndex = at;
    const found = PART.exec(script);
    if (found === null) break;
    const literal: string | undefined = found[1] ?? found[2] ?? found[3] ?? found[4];
    text = text === null || literal === undefined ? null : text + literal;
    at = PART.lastIndex;
  }
  const isCut = at < script.length && !/[\s|&;()<>]/.test(script[at] ?? "");
  return at === from || isCut ? null : { raw: script.slice(from, at), text };
}

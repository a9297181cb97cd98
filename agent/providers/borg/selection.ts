/** borg's arguments for a selection. */
interface SelectionArgs {
  readonly args: readonly string[];
  /** Texts borg finds as /dev/fd/4 and on. */
  readonly files: readonly string[];
}

/** Selects these paths and everything below them; without paths, or with the root: everything. */
export function selectBelow(include: readonly string[]): SelectionArgs {
  if (include.length === 0 || include.includes("/")) return { args: [], files: [] };
  return only(include.map((path) => (isPlain(path) ? `pp:${path.slice(1)}` : `re:^${expression(path)}(?:/|\\Z)`)));
}

/** Selects exactly these entries, which borg looks up one by one, however many there are. */
export function selectExactly(paths: readonly string[]): SelectionArgs {
  return only(paths.map((path) => (isPlain(path) ? `pf:${path.slice(1)}` : `re:^${expression(path)}\\Z`)));
}

function only(patterns: readonly string[]): SelectionArgs {
  const text = [...patterns.map((pattern) => `+ ${pattern}`), "- re:^"].join("\n");
  return { args: ["--patterns-from", "/dev/fd/4"], files: [`${text}\n`] };
}

/** Whether the path fits into one line of a pattern file, and all of its bytes are known. */
function isPlain(path: string): boolean {
  return /^\/[^\p{C}\p{Z}?]*(?: [^\p{C}\p{Z}?]+)*$/u.test(path);
}

/** A regular expression of Python. A byte that is not UTF-8 is shown as `?`; Python keeps it as a lone surrogate. */
function expression(path: string): string {
  return Array.from(path.slice(1), (character) => {
    if (character === "?") return "(?:\\?|[\\udc80-\\udcff])";
    if (/^[\w/-]$/.test(character)) return character;
    const code = character.codePointAt(0) ?? 0;
    return `\\U${code.toString(16).padStart(8, "0")}`;
  }).join("");
}

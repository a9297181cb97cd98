import { createHash } from "node:crypto";
import { RepositoryAccess } from "../escrow.ts";
import { parseJson } from "../json.ts";
import { SecretName } from "../secret-source.ts";

/** What opens every repository without control plane and hosts: for paper, or a password manager. */
export interface RecoveryKit {
  /** Opens what hosts seal from now on: needed to print the kit again. */
  readonly key: string;
  readonly repositories: readonly RepositoryAccess[];
}

const TITLE = "Holdfast recovery kit 1";
/** In this order in each entry. */
const FIELDS = [
  ["Repository", "name"],
  ["Tool", "provider"],
  ["Location", "location"],
  ["Id", "engineId"],
  ["Passphrase", "passphrase"],
  ["Server key", "hostKey"],
] as const;
const LINE = new RegExp(`^(Key|Check|${[...FIELDS.map(([label]) => label), ...SecretName.options].join("|")}): (.*)$`);

/** The lines of one entry: what its QR code holds, too. */
export function entryLines(access: RepositoryAccess): string[] {
  const values = [
    ...FIELDS.flatMap(([label, field]) => (access[field] === null ? [] : [[label, access[field]] as const])),
    ...SecretName.options.flatMap((name) => {
      const value = access.secrets[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  ];
  const lines = values.map(([label, value]) => `${label}: ${quoted(value)}`);
  return [...lines, `Check: ${checkOf(lines)}`];
}

/** @param about one line: when and of what it was printed */
export function writeKit({ key, repositories }: RecoveryKit, about: string): string {
  const keyLine = `Key: ${key}`;
  return [
    TITLE,
    about,
    "Whoever has this page can read every backup that is listed on it: keep it away from these machines.",
    "On any machine: holdfast-agent recover --kit FILE lists what it opens, FILE being this text, or its QR codes.",
    "",
    keyLine,
    `Check: ${checkOf([keyLine])}`,
    ...repositories.flatMap((access) => ["", ...entryLines(access)]),
    "",
  ].join("\n");
}

/**
 * @param text the kit, with whatever stands between its lines
 * @throws Error that names the entry, never its content
 */
export function readKit(text: string): RecoveryKit {
  let key: string | null = null;
  const repositories: RepositoryAccess[] = [];
  let lines: string[] = [];
  for (const line of text.split("\n").map((one) => one.trim())) {
    const [, label, value = ""] = LINE.exec(line) ?? [];
    if (label === undefined) continue;
    if (label === "Key" || label === "Repository") {
      if (lines.length > 0)
        throw new Error(`the kit is not whole: after "${nameOf(lines)}", its line "Check:" is missing`);
    }
    if (label !== "Check") {
      lines.push(line);
      continue;
    }
    if (checkOf(lines) !== value) {
      throw new Error(
        `the kit is not whole: in "${nameOf(lines)}" a character is wrong, or a line is missing or too much`,
      );
    }
    const [first = ""] = lines;
    if (first.startsWith("Key: ")) key = first.slice(5);
    else repositories.push(parseEntry(lines));
    lines = [];
  }
  if (lines.length > 0) throw new Error(`the kit is not whole: after "${nameOf(lines)}", its line "Check:" is missing`);
  if (key === null) throw new Error("this is no recovery kit: it has no line that begins with 'Key: AGE-SECRET-KEY-1'");
  return { key, repositories };
}

function parseEntry(lines: readonly string[]): RepositoryAccess {
  const values = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(": ")), unquoted(line.slice(line.indexOf(": ") + 2))]),
  );
  const fields = FIELDS.map(([label, field]) => [field, values.get(label) ?? null]);
  const secrets = SecretName.options.flatMap((name) => (values.has(name) ? [[name, values.get(name)]] : []));
  const access = RepositoryAccess.safeParse({ ...Object.fromEntries(fields), secrets: Object.fromEntries(secrets) });
  if (!access.success)
    throw new Error(`the kit's entry "${nameOf(lines)}" can't be read: ${access.error.issues[0]?.path.join(".")}`);
  return access.data;
}

function nameOf([first = "the kit"]: readonly string[]): string {
  return first.startsWith("Key: ") ? "Key" : first.replace(/^Repository: /, "");
}

/** Spaces at an end, and quotes, would not survive paper. */
function quoted(value: string): string {
  return /^[^\s"](.*\S)?$/u.test(value) ? value : JSON.stringify(value);
}

function unquoted(value: string): string {
  const text = value.startsWith('"') ? parseJson(value) : value;
  return typeof text === "string" ? text : value;
}

/** Ten characters: enough to notice a typing error. */
function checkOf(lines: readonly string[]): string {
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 10);
}

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// docs/glossary.md decides which word means what: short enough to be read as a whole, and about words that the code
// uses.

const root = join(import.meta.dirname, "../..");
const glossary = readFileSync(join(root, "docs/glossary.md"), "utf8");
const terms = [...glossary.matchAll(/^- \*\*(.+?)\*\*: /gm)].map(([, term = ""]) => term);

const sources = ["shared", "agent", "control"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({ file: join(folder, name), text: readFileSync(join(root, folder, name), "utf8") })),
);

test("the glossary has at most 70 lines, one term each, in the order of the alphabet", () => {
  expect(glossary.trimEnd().split("\n").length).toBeLessThanOrEqual(70);
  expect(terms.length).toBeGreaterThan(40);
  expect(glossary.split("\n").filter((line) => line.startsWith("-"))).toHaveLength(terms.length);
  const lower = terms.map((term) => term.toLowerCase());
  expect(lower).toEqual([...new Set(lower)].toSorted());
});

test.each(terms)("the code uses the term: %s", (term) => {
  // As words, as a file's name or as an identifier: "clock skew", "clock-skew", "clockSkew".
  const written = new RegExp(`\\b${term.replaceAll(" ", "[ -]?")}`, "i");
  const folded = ({ file, text }: { file: string; text: string }): string =>
    `${file}\n${text}`.replaceAll(/([a-z])([A-Z])/g, "$1-$2");
  expect(sources.some((source) => written.test(folded(source)))).toBe(true);
});

/**
 * Words that meant something in this project only, and what is said instead. No name of a file or in the code has them
 * as a part. Strings are not names: what hosts and databases already store keeps its words (the spool's `after`,
 * `*.put-off.json`).
 */
const RETIRED: Record<string, string> = {
  deed: "the verb itself",
  doorbell: "poke",
  errand: "relay, relayed delivery",
  errands: "relay, relayed deliveries",
  obligation: "cleanup",
  owe: "addCleanup",
  owed: "cleanup",
  owing: "cleanup",
  pulse: "activity, heartbeat",
  sight: "source check",
  sights: "source checks",
  tell: "report, notify",
  telling: "reporting incidents",
  told: "reported, notified",
  workload: "queue",
};

/** Whole names, whose words are good ones elsewhere. */
const RETIRED_NAMES: Record<string, string> = {
  backupByHand: "the verb's name",
  besideOf: "say what it is beside",
  endSilence: "record that a host was heard",
  expectAnew: "say what is expected",
  followTroubles: "report host troubles",
  keepHouse: "housekeeping",
  lackOf: "say what is missing",
  lookAgain: "say what is checked",
  noteVital: "recordVital",
  oweAfter: "addCleanup",
  ofBinding: "a verb and a noun",
  Outcome: "RunOutcome, or a result",
  payingBack: "withCleanup",
  PutOff: "Deferral",
  putOff: "deferral",
  takeGood: "recordGoodBackup",
  Turn: "say which change",
  whoseDisk: "say what it returns",
};

test("no retired word is a name, or a part of one", () => {
  const found = sources.flatMap(({ file, text }) =>
    [...namesIn(`${file.replaceAll(/[^a-z]/gi, " ")} ${codeOf(text)}`)]
      .filter((name) => isRetired(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(found).toEqual([]);
});

test("a retired word is found in a file's name and in camel case, but not in a comment or a string", () => {
  const names = (text: string): string[] => [...namesIn(codeOf(text))].filter((name) => isRetired(name));
  expect(names("const hasErrand = OWED_RUNS + takeGood(`${workload}`);")).toEqual([
    "hasErrand",
    "OWED_RUNS",
    "takeGood",
    "workload",
  ]);
  expect(names('// who is told\nsend("errand", `told`); /* owed */ const toldest = Outcomes;')).toEqual([]);
});

function isRetired(name: string): boolean {
  const parts = name.split(/(?<=[a-z0-9])(?=[A-Z])|_/).map((part) => part.toLowerCase());
  return Object.hasOwn(RETIRED_NAMES, name) || parts.some((part) => Object.hasOwn(RETIRED, part));
}

function namesIn(code: string): Set<string> {
  return new Set([...code.matchAll(/[A-Za-z_$][\w$]*/g)].map(([name]) => name));
}

/** Without comments, and of strings only what is filled into them. */
function codeOf(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, " ")
    .replaceAll(/(?<=^|\s)\/\/.*$/gm, " ")
    .replaceAll(/`(?:[^`\\]|\\.)*`/g, (template) =>
      [...template.matchAll(/\$\{([^}]*)\}/g)].map(([, filled]) => filled).join(" "),
    )
    .replaceAll(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, " ");
}

test("comments stay within the formatter's width: it leaves them as they are", () => {
  const width = 120;
  const isComment = /^\s*(\/\*\*|\*|\/\/ (?!oxlint-))/;
  const long = sources.flatMap(({ file, text }) =>
    text.split("\n").flatMap((line, at) => (line.length > width && isComment.test(line) ? [`${file}:${at + 1}`] : [])),
  );
  expect(long).toEqual([]);
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// docs/glossary.md decides which word means what: short enough to be read as a whole, and about words that the code uses.

const root = join(import.meta.dirname, "../..");
const glossary = readFileSync(join(root, "docs/glossary.md"), "utf8");
const terms = [...glossary.matchAll(/^- \*\*(.+?)\*\*: /gm)].map(([, term = ""]) => term);

const sources = ["shared", "agent", "control"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({ file: join(folder, name), text: readFileSync(join(root, folder, name), "utf8") })),
);

test("the glossary has at most 60 lines, one term each, in the order of the alphabet", () => {
  expect(glossary.trimEnd().split("\n").length).toBeLessThanOrEqual(60);
  expect(terms.length).toBeGreaterThan(40);
  expect(glossary.split("\n").filter((line) => line.startsWith("-"))).toHaveLength(terms.length);
  const lower = terms.map((term) => term.toLowerCase());
  expect(lower).toEqual([...new Set(lower)].toSorted());
});

test.each(terms)("the code speaks of: %s", (term) => {
  // As words, as a file's name or as an identifier: "clock skew", "clock-skew", "clockSkew".
  const written = new RegExp(`\\b${term.replaceAll(" ", "[ -]?")}`, "i");
  const folded = ({ file, text }: { file: string; text: string }): string =>
    `${file}\n${text}`.replaceAll(/([a-z])([A-Z])/g, "$1-$2");
  expect(sources.some((source) => written.test(folded(source)))).toBe(true);
});

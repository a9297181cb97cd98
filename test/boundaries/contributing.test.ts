import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// CONTRIBUTING.md lists the files that each kind of addition touches. The example of a list is the proof: the list has
// every file that names the example, and no other.

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");

/** Where each example is looked for. Other tests and pages use it too, but need nothing when another one comes. */
const EXAMPLES: [what: string, example: string, folders: string[], not?: string][] = [
  ["A provider", "borg", ["shared", "agent", "control", ".ci", "test/provider", "test/support"]],
  ["A channel kind", "pushover", ["shared", "agent", "control", "test", "docs", "README.md"]],
  ["A CLI verb", "audit", ["control/cli", "test/node"]],
  ["A catalogue entry", "bazarr", ["shared", "agent", "control", "test", "docs"]],
  ["An API noun", "audit", ["shared", "control", "test/control"], "control/cli/"],
];

test("the guide is short, and has no other lists than these", () => {
  expect(guide.trimEnd().split("\n").length).toBeLessThanOrEqual(60);
  const headings = [...guide.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  expect(headings).toEqual(EXAMPLES.map(([what, example]) => `${what} (example: \`${example}\`)`));
});

test.each(EXAMPLES)("%s: the list has what the example %s touches", (what, example, folders, not) => {
  const listed = pathsOf(what);
  const touched = filesIn(folders)
    .filter((file) => !file.startsWith("test/boundaries/") && (not === undefined || !file.startsWith(not)))
    .filter((file) => isAbout(file, example));
  expect(touched.filter((file) => !listed.some((path) => covers(path, file)))).toEqual([]);
  expect(listed.filter((path) => !touched.some((file) => covers(path, file)))).toEqual([]);
});

/** A folder stands for all that is in it. */
function covers(path: string, file: string): boolean {
  if (path.endsWith("/")) return file.startsWith(path);
  const [before = "", after] = path.split("*");
  return after === undefined ? file === path : file.startsWith(before) && file.endsWith(after);
}

/** What stands in backticks before the colon of each line of a list, with lists in braces written out. */
function pathsOf(what: string): string[] {
  const section = guide.slice(guide.indexOf(`## ${what} (`)).split(/\n(?=## )/)[0] ?? "";
  const lines = [...section.matchAll(/^- (.+?): /gm)].map(([, paths = ""]) => paths);
  return lines
    .flatMap((line) => [...line.matchAll(/`([^`]+)`/g)].map(([, path = ""]) => path))
    .flatMap((path) => {
      const [, before = "", list, after = ""] = /^(.*)\{(.*)\}(.*)$/.exec(path) ?? [];
      return list === undefined ? [path] : list.split(",").map((each) => `${before}${each}${after}`);
    });
}

function filesIn(folders: readonly string[]): string[] {
  return folders.flatMap((folder) =>
    statSync(join(root, folder)).isFile()
      ? [folder]
      : readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1)),
  );
}

/** A remark about the example is not enough: comments don't count. */
function isAbout(file: string, example: string): boolean {
  const text = readFileSync(join(root, file), "utf8");
  const code = file.endsWith(".ts") ? text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "") : text;
  return code.toLowerCase().includes(example);
}

import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { FAULTS } from "../faults/faults.ts";

// Files move. A page that names one by a path it no longer has sends its reader nowhere.

const root = join(import.meta.dirname, "../..");
const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/*/*.md"].flatMap((pattern) =>
  globSync(pattern, { cwd: root }),
);
const folders = new Set(
  readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name),
);

test.each(pages)("every path that %s names exists", (page) => {
  const text = readFileSync(join(root, page), "utf8");
  expect(deadPaths(text, page)).toEqual([]);
});

test("a path that does not exist is found, also in braces, behind a wildcard and in a link", () => {
  const text =
    "`agent/main.ts` `agent/{main,gone}.ts` `gone.ts` [x](gone.md) `sh .ci/gone` `/var/gone.ts` `test/gone/*.ts`";
  expect(deadPaths(text, "README.md")).toEqual(["agent/gone.ts", "gone.ts", ".ci/gone", "test/gone/*.ts", "gone.md"]);
  expect(deadPaths("[a page](glossary.md) `control/catalog/services/NAME.ts`", "docs/x.md")).toEqual([]);
});

test("the README has figures of every fault that `npm run faults` injects, and docs/faults.md describes it", () => {
  const names = FAULTS.map(({ name }) => name);
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| ([a-z-]+): /gm)].map(([, name = ""]) => name);
  expect(rows.toSorted()).toEqual(names.toSorted());
  const page = readFileSync(join(root, "docs/faults.md"), "utf8");
  expect(names.filter((name) => !page.includes(`**${name}**`))).toEqual([]);
});

function deadPaths(markdown: string, page: string): string[] {
  const prose = markdown.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "");
  const quoted = [...prose.matchAll(/`([^`\n]+)`/g)].flatMap(([, code = ""]) => code.split(/[\s"']+/));
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target.replace(/#.*/, ""));
  return [
    ...quoted
      .filter(isOurs)
      .flatMap(alternatives)
      .filter((path) => !isThere(path)),
    ...links
      .filter((link) => link !== "" && !/^[a-z]+:/.test(link))
      .filter((link) => !existsSync(join(root, dirname(page), link))),
  ];
}

/**
 * A source file by its ending, or anything below a folder of the project. Not a path on a host, and no placeholder
 * (`NAME.ts`).
 */
function isOurs(word: string): boolean {
  if (!/^[\w.][\w.,{}*/-]*$/.test(word) || /\b[A-Z]{2,}\b/.test(word)) return false;
  return /\w\.(ts|mjs|nix)$/.test(word) || (word.includes("/") && folders.has(word.split("/")[0] ?? ""));
}

function alternatives(path: string): string[] {
  const [, before = "", list, after = ""] = /^(.*?)\{([^}]*)\}(.*)$/.exec(path) ?? [];
  if (list === undefined) return [path];
  return list.split(",").flatMap((each) => alternatives(`${before}${each}${after}`));
}

function isThere(path: string): boolean {
  return path.includes("*") ? globSync(path, { cwd: root }).length > 0 : existsSync(join(root, path));
}

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// Nothing of a run reaches a repository, a secret or a tool around the gate that decides what this host has granted.

const agent = join(import.meta.dirname, "../../agent");
const sources = readdirSync(agent, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name, text: readFileSync(join(agent, name), "utf8") }));

const importersOf = (symbol: string): string[] =>
  sources
    .filter(({ text }) => new RegExp(`^import \\{[^}]*\\b${symbol}\\b[^}]*\\}`, "m").test(text))
    .map(({ name }) => name)
    .toSorted();

/** Root's own verbs, without an assignment: they read a repository that root names. */
const AT_THE_TERMINAL = ["cli/fetch-snapshot.ts", "cli/without-host.ts"];
/** Reads the secrets of repositories that are granted and were opened, and seals them to whom root named. */
const SEALS = "link/escrows.ts";

test.each(["providerOf", "readSecrets"])("%s is reached through run/access.ts alone", (symbol) => {
  const others = importersOf(symbol).filter((name) => !AT_THE_TERMINAL.includes(name) && name !== SEALS);
  expect(others).toEqual(["run/access.ts"]);
});

test("run/access.ts asks the gate before it reads a secret or opens a provider", () => {
  const { text = "" } = sources.find(({ name }) => name === "run/access.ts") ?? {};
  const body = text.slice(text.indexOf("export async function prepareAccess"));
  const gate = body.indexOf("await requireGranted(");
  expect(gate).toBeGreaterThan(0);
  for (const effect of ["readSecrets(", "findUser(", "providerOf("]) expect(body.indexOf(effect)).toBeGreaterThan(gate);
});

test("an assignment is used only as far as it is granted", () => {
  // As signed it is for whoever decides, compares revisions, or removes it.
  expect(importersOf("loadAssignment")).toEqual([
    "cli/policy.ts",
    "cli/uninstall.ts",
    "daemon/serve.ts",
    "in-force/in-force.ts",
  ]);
  expect(importersOf("decide").filter((name) => !name.startsWith("in-force/"))).toEqual([]);
});

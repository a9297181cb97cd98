import { CatalogEntry } from "../../shared/catalog.ts";
import { Contract } from "../../shared/contract.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { parseParams } from "./params.ts";
import { table } from "./table.ts";
import { expectPositionals } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

export const catalog = defineVerb({
  name: "catalog",
  usage: "catalog [NAME] [--json] | catalog apply NAME --host HOST --layout LAYOUT [--name CONTRACT] [--param K=V…]",
  summary: "list the service catalogue, show one entry, or create a contract from one",
  options: {
    json: { type: "boolean" },
    host: { type: "string" },
    layout: { type: "string" },
    name: { type: "string" },
    param: { type: "string", multiple: true, default: [] },
  },
  positionals: [],
  takesRest: true,
  run: async ({ values, rest, openClient }) => {
    const client = await openClient();
    if (rest[0] === "apply") {
      const [, fromCatalog] = expectPositionals(rest, ["apply", "NAME"]);
      const { host, layout, name } = values;
      if (host === undefined) throw new UsageError("--host is missing");
      if (layout === undefined) throw new UsageError("--layout is missing");
      const wish = { host, fromCatalog, layout, params: parseParams(values.param) };
      const made = await client.ask(Contract, "POST", "/contracts", name === undefined ? wish : { ...wish, name });
      return { json: made, text: `contract ${made.name}: ${made.id}\n` };
    }
    const [name] = rest;
    if (name === undefined) {
      const entries = await client.list(CatalogEntry, "/catalog");
      return { json: entries, text: listOf(entries) };
    }
    expectPositionals(rest, ["NAME"]);
    const entry = await client.ask(CatalogEntry, "GET", `/catalog/${encodeURIComponent(name)}`);
    return { json: entry, text: pageOf(entry) };
  },
});

function listOf(entries: CatalogEntry[]): string {
  return table([
    ["NAME", "SERVICE", "WHAT IT KEEPS"],
    ...entries.map(({ name, title, description }) => [name, title, description]),
  ]);
}

function pageOf({ name, title, description, layouts }: CatalogEntry): string {
  return `${title} (${name}): ${description}\n${layouts.map(layoutOf).join("")}`;
}

function layoutOf({ layout, params, contract, notes, sources }: CatalogEntry["layouts"][number]): string {
  const asked = params.map(({ name, kind, description, default: standard, choices }) => {
    const what = kind === "choice" ? choices.join(" | ") : kind;
    return `    ${name} (${what}${standard === null ? ", required" : `, default ${standard}`}): ${description}\n`;
  });
  const kept =
    contract.kind === "files"
      ? [
          ...contract.request.sourceDirectories.map((source) => `keeps ${source}`),
          ...contract.request.excludePatterns.map((pattern) => `but not ${pattern}`),
          ...contract.consistency.map((step) =>
            Object.entries(step)
              .map(([key, value]) => `${key} ${value}`)
              .join(", "),
          ),
          ...contract.stopForRestore.map((unit) => `stopped for a restore: ${unit}`),
        ]
      : [`keeps what this writes: ${contract.request.backupCmd}`];
  const lines = [
    ...kept,
    ...notes.map((note) => `note: ${note}`),
    ...sources.map((one) => `${one.fact} [${one.source}]`),
  ];
  return `\n${layout}, as user ${contract.request.user}\n  parameters\n${asked.join("")}${lines.map((line) => `  ${line}\n`).join("")}`;
}

// Writes the reference of the contract from the schemas into docs/reference (or the folder given as an argument).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { PolicyFile } from "../agent/policy/policy.ts";
import { Settings } from "../shared/binding.ts";
import { CreateContract } from "../shared/contract.ts";

const out = process.argv[2] ?? join(import.meta.dirname, "../docs/reference");
const contract = z.toJSONSchema(CreateContract, { io: "input" });

const page = `# The contract and the settings of a binding

<!-- Made from the schemas in shared/ by \`npm run generate\`: change them, not this page. -->

A contract says **what** a service needs kept. \`POST /api/v1/contracts\` takes it; the same as JSON Schema is in
[contract.schema.json](contract.schema.json). A key that is not listed is refused.

${table(rows(contract.$defs.CreateContract))}

## Contracts of a database

With \`"kind": "databasebackup"\` ([databases.md](../databases.md)):

${table(rows(contract.$defs.CreateDatabaseContract))}

## Settings of a binding

A binding says **where, when and for how long**: \`POST /api/v1/bindings\` with \`contract\`, \`repository\` and \`settings\`.
A key left out has its default.

${table(rows(z.toJSONSchema(Settings, { io: "input" })))}

\`retention\` given replaces the default as a whole: \`{}\` keeps everything.
`;

const policy = z.toJSONSchema(PolicyFile, { io: "input", unrepresentable: "any" });

const policyPage = `# The policy of a host

<!-- Made from the schema in agent/policy/policy.ts by \`npm run generate\`: change it, not this page. -->

\`/etc/holdfast/policy.json\` belongs to root and says what the control plane may ask of this host ([policy.md](../policy.md)). The same as
JSON Schema is in [policy.schema.json](policy.schema.json). A key that is not listed makes the whole file count as one that allows nothing.

${table(rows(policy))}
`;

mkdirSync(out, { recursive: true });
writeFileSync(join(out, "contract.schema.json"), `${JSON.stringify(contract, null, 2)}\n`);
writeFileSync(join(out, "contract.md"), page);
writeFileSync(join(out, "policy.schema.json"), `${JSON.stringify(policy, null, 2)}\n`);
writeFileSync(join(out, "policy.md"), policyPage);

/** One row per key, the keys of an object below it. */
function rows(schema, prefix = "") {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const path = `${prefix}${key}`;
    const row = {
      key: path,
      kind: kind(value),
      standard: required.has(key) ? "required" : standard(value),
      meaning: meaning(value),
    };
    return [row, ...rows(value, `${path}.`)];
  });
}

function kind(schema) {
  if ("const" in schema) return code(schema.const);
  if (schema.anyOf !== undefined) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.type === "integer") return `whole number from ${schema.minimum}`;
  const words = { string: "text", object: "object", boolean: "true or false", null: "null" };
  return [schema.type]
    .flat()
    .map((type) => words[type] ?? type)
    .join(" or ");
}

function meaning(schema) {
  const own = schema.description ?? "";
  const each = schema.items?.description === undefined ? "" : `each: ${schema.items.description}`;
  const pattern = schema.pattern === undefined ? "" : `matches \`${schema.pattern}\``;
  return [own, each, pattern].filter((part) => part !== "").join("; ");
}

function standard(schema) {
  if (!("default" in schema)) return schema.properties === undefined ? "none" : "";
  return code(schema.default);
}

function code(value) {
  return `\`${JSON.stringify(value)}\``;
}

function table(list) {
  const lines = list.map(({ key, kind: type, standard: value, meaning: text }) => {
    const cells = [`\`${key}\``, type, value, text].map((cell) => cell.replaceAll("|", "\\|"));
    return `| ${cells.join(" | ")} |`;
  });
  return ["| key | kind | default | meaning |", "| --- | --- | --- | --- |", ...lines].join("\n");
}

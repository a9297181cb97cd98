import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { afterAll, beforeAll, expect, test } from "vitest";

// Each wall gets a hole, and the linter must name it with the reason. What may pass must pass.

const root = join(import.meta.dirname, "../..");

const refused: [file: string, statement: string, reason: RegExp][] = [
  ["shared/a.ts", 'import "jose"', /zod and its own files only/],
  ["shared/a.ts", 'import "croner"', /zod and its own files only/],
  ["shared/cron.ts", 'import "jose"', /croner and its own files only/],
  ["shared/address.ts", 'import "jose"', /ipaddr\.js and its own files only/],
  ["shared/age.ts", 'import "jose"', /age-encryption and its own files only/],
  ["shared/a.ts", 'import "../control/app.ts"', /zod and its own files only/],
  ["shared/a.ts", 'import "node:fs"', /zod and its own files only/],
  ["shared/node/a.ts", 'import "jose"', /its modules and shared\/ only/],
  ["shared/node/a.ts", 'import "../../control/app.ts"', /its modules and shared\/ only/],
  ["agent/a.ts", 'import "../control/app.ts"', /only through shared\/ and the wire/],
  ["agent/a.ts", 'import "hono"', /no server and no database/],
  ["agent/a.ts", 'import "drizzle-orm/sqlite-core"', /no server and no database/],
  ["agent/a.ts", 'import "@libsql/client"', /no server and no database/],
  ["agent/a.ts", 'import "execa"', /agent\/system\/process\/process\.ts only/],
  ["agent/link/connection.ts", 'import "execa"', /agent\/system\/process\/process\.ts only/],
  ["agent/a.ts", 'import "ws"', /agent\/link\/connection\.ts and control\/runtime\/node\/hub\.ts only/],
  [
    "agent/system/process/process.ts",
    'import "ws"',
    /agent\/link\/connection\.ts and control\/runtime\/node\/hub\.ts only/,
  ],
  ["control/app.ts", 'import "node:fs"', /core knows no runtime/],
  ["control/app.ts", 'import "cloudflare:workers"', /core knows no runtime/],
  ["control/app.ts", 'import "@libsql/client"', /Only control\/runtime opens the database/],
  ["control/db/a.ts", 'import "libsql"', /Only control\/runtime opens the database/],
  ["control/db/a.ts", 'import "drizzle-orm/libsql"', /Only control\/runtime opens the database/],
  ["control/app.ts", 'import "./runtime/node/server.ts"', /runtime wires the core/],
  ["control/app.ts", 'import "../agent/main.ts"', /only through shared\/ and the wire/],
  ["control/hub/a.ts", 'import "ws"', /agent\/link\/connection\.ts and control\/runtime\/node\/hub\.ts only/],
  ["control/notify/a.ts", 'import "execa"', /agent\/system\/process\/process\.ts only/],
  ["control/domain/a.ts", 'import "hono"', /verb knows no transport/],
  ["control/domain/a.ts", 'import "hono-openapi"', /verb knows no transport/],
  ["control/domain/a.ts", 'import "ws"', /agent\/link\/connection\.ts and control\/runtime\/node\/hub\.ts only/],
  ["control/domain/a.ts", 'import "node:crypto"', /core knows no runtime/],
  ["control/domain/a.ts", 'import "cloudflare:workers"', /core knows no runtime/],
  ["control/domain/a.ts", 'import "../routes/runs.ts"', /never reaches up/],
  ["control/domain/a.ts", 'import "../auth/bearer.ts"', /never reaches up/],
  ["control/domain/a.ts", 'import "../notify/webhook.ts"', /only writes to the outbox/],
  ["control/domain/runs/a.ts", 'import "../../routes/runs.ts"', /never reaches up/],
  ["control/domain/runs/a.ts", 'import "../../tick.ts"', /never reaches up/],
  ["control/domain/runs/a.ts", 'import "../../auth/bearer.ts"', /never reaches up/],
  ["control/domain/runs/a.ts", 'import "../../notify/outcome.ts"', /only writes to the outbox/],
  ["control/routes/a.ts", 'import "drizzle-orm"', /queries live in control\/domain/],
  ["control/routes/a.ts", 'import "../db/schema/runs.ts"', /queries live in control\/domain/],
  ["control/routes/a.ts", 'import "node:fs"', /core knows no runtime/],
  ["control/runtime/node/a.ts", 'import "ws"', /agent\/link\/connection\.ts and control\/runtime\/node\/hub\.ts only/],
  ["control/runtime/node/a.ts", 'import "cloudflare:workers"', /core knows no runtime/],
  ["control/runtime/node/a.ts", 'import "../worker/hub.ts"', /never each other's files/],
  ["control/runtime/node/hub.ts", 'import "execa"', /agent\/system\/process\/process\.ts only/],
  ["control/runtime/node/a.ts", 'import "nodemailer"', /control\/runtime\/node\/mail\.ts only/],
  ["control/notify/a.ts", 'import "nodemailer"', /control\/runtime\/node\/mail\.ts only/],
  ["agent/system/process/process.ts", 'import "nodemailer"', /control\/runtime\/node\/mail\.ts only/],
  ["control/cli/a.ts", 'import "execa"', /agent\/system\/process\/process\.ts only/],
  ["control/runtime/worker/a.ts", 'import "node:fs"', /workerd without Node's modules/],
  ["control/runtime/worker/a.ts", 'import "@libsql/client"', /only @libsql\/client\/http/],
  ["control/runtime/worker/a.ts", 'import "../node/hub.ts"', /never each other's files/],
  ["control/app.ts", 'import "../test/support/until.ts"', /never import tests/],
  ["agent/a.ts", 'import { b } from "./b.ts";\nexport const a = b;', /cycle/i],
  ["agent/a.ts", "console.log(1)", /console/],
  ["agent/a.ts", "export const a = JSON.parse('1') as any", /any/],
  ["agent/a.ts", "export const a = (b: string | null) => b!.length", /non-null/i],
  [
    "agent/a.ts",
    "const later = { then: (done: () => void) => done() };\nexport function a() {\n  later;\n}",
    /expression/i,
  ],
  ["agent/a.ts", "declare function save(): PromiseLike<void>;\nexport function a() {\n  save();\n}", /promise/i],
  [
    "agent/a.ts",
    'export function a(b: "x" | "y") {\n  switch (b) {\n    case "x":\n      return 1;\n  }\n  return 2;\n}',
    /exhaustive/i,
  ],
  ["agent/a.ts", `export const a = [\n${"  1,\n".repeat(301)}];`, /maximum.*lines|lines.*300/i],
  ["test/a.test.ts", 'import { vi } from "vitest";\nvi.mock("node:fs");', /No module mocks/],
  ["test/a.test.ts", 'import { test } from "vitest";\ntest.only("one", () => {});', /focused/i],
];

const allowed: [file: string, statement: string][] = [
  ["shared/a.ts", 'import "zod"'],
  ["shared/a.ts", 'import "./ids.ts"'],
  ["shared/cron.ts", 'import "croner"'],
  ["shared/address.ts", 'import "ipaddr.js"'],
  ["shared/age.ts", 'import "age-encryption"'],
  ["shared/node/a.ts", 'import "node:http"'],
  ["shared/node/a.ts", 'import "node:fs/promises"'],
  ["shared/node/a.ts", 'import "../outgoing.ts"'],
  ["agent/a.ts", 'import "../shared/ids.ts"'],
  ["agent/providers/a.ts", 'import "../../shared/ids.ts"'],
  ["agent/system/process/process.ts", 'import "execa"'],
  ["agent/link/connection.ts", 'import "ws"'],
  ["agent/a.ts", 'import "node:fs"'],
  ["control/domain/a.ts", 'import "drizzle-orm"'],
  ["control/domain/a.ts", 'import "../notify/outbox.ts"'],
  ["control/domain/a.ts", 'import "../db/schema/runs.ts"'],
  ["control/domain/a.ts", 'import "../auth/sign.ts"'],
  ["control/domain/runs/a.ts", 'import "../../notify/outbox.ts"'],
  ["control/domain/runs/a.ts", 'import "../../auth/secret.ts"'],
  ["control/routes/a.ts", 'import "../domain/runs/runs.ts"'],
  ["control/routes/a.ts", 'import "hono"'],
  ["control/runtime/node/hub.ts", 'import "ws"'],
  ["control/runtime/node/mail.ts", 'import "nodemailer"'],
  ["control/runtime/node/a.ts", 'import "@libsql/client"'],
  ["control/runtime/worker/a.ts", 'import "@libsql/client/http"'],
  ["control/runtime/worker/a.ts", 'import "cloudflare:workers"'],
  ["control/cli/a.ts", 'import "../runtime/node/server.ts"'],
];

const Report = z.object({
  diagnostics: z.array(z.object({ message: z.string(), help: z.string().optional(), filename: z.string() })),
});

let planted: string;
let findings: Map<string, string[]>;

beforeAll(() => {
  planted = mkdtempSync(join(tmpdir(), "holdfast-lint-"));
  copyFileSync(join(root, ".oxlintrc.json"), join(planted, ".oxlintrc.json"));
  const options = {
    strict: true,
    target: "es2024",
    module: "nodenext",
    noEmit: true,
    allowImportingTsExtensions: true,
  };
  writeFileSync(join(planted, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...options, types: [] } }));
  writeFileSync(join(planted, "package.json"), '{"type":"module"}');
  findings = lintAll();
});

afterAll(() => rmSync(planted, { recursive: true, force: true }));

test.each(refused)("%s may not: %s", (file, statement, reason) => {
  expect(findings.get(key(file, statement))?.join("\n") ?? "nothing was found").toMatch(reason);
});

test.each(allowed)("%s may: %s", (file, statement) => {
  expect(findings.get(key(file, statement)) ?? []).toEqual([]);
});

/** One run of the linter per statement that shares a file with another, all files of one run at once. */
function lintAll(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const waiting: (readonly [string, string])[] = [
    ...refused.map(([file, statement]) => [file, statement] as const),
    ...allowed,
  ];
  while (waiting.length > 0) {
    const round = new Map<string, string>();
    for (const [file, statement] of waiting.splice(0)) {
      if (round.has(file)) waiting.push([file, statement]);
      else round.set(file, statement);
    }
    for (const folder of ["shared", "agent", "control", "test"])
      rmSync(join(planted, folder), { recursive: true, force: true });
    for (const [file, statement] of round) {
      mkdirSync(dirname(join(planted, file)), { recursive: true });
      writeFileSync(join(planted, file), `${statement}\n`);
    }
    // The other half of a circle.
    mkdirSync(join(planted, "agent"), { recursive: true });
    writeFileSync(join(planted, "agent/b.ts"), 'import { a } from "./a.ts";\nexport const b = a;\n');
    for (const { filename, message, help } of lint()) {
      const name = key(filename, round.get(filename) ?? "");
      found.set(name, [...(found.get(name) ?? []), `${message} ${help ?? ""}`]);
    }
  }
  return found;
}

function lint(): z.infer<typeof Report>["diagnostics"] {
  const run = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--format=json"], { cwd: planted, encoding: "utf8" });
  const report = Report.safeParse(run.stdout === "" ? null : JSON.parse(run.stdout));
  if (!report.success) throw new Error(`oxlint said: ${run.stdout}${run.stderr}`);
  return report.data.diagnostics;
}

function key(file: string, statement: string): string {
  return `${file}: ${statement}`;
}

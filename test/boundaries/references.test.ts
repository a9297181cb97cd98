import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

// A copy of the sources with a hole in each wall: the compiler itself must refuse every one of them.

const root = join(import.meta.dirname, "../..");

const refused: [wall: string, file: string, code: string, error: RegExp][] = [
  [
    "the agent can't import the control plane",
    "agent/planted.ts",
    'import type { Deps } from "../control/deps.ts";\nexport type Planted = Deps;',
    /TS6307/,
  ],
  [
    "the control plane can't import the agent",
    "control/planted.ts",
    'import type { Paths } from "../agent/config.ts";\nexport type Planted = Paths;',
    /TS6307/,
  ],
  [
    "the core can't import a runtime",
    "control/domain/planted.ts",
    'import { readConfig } from "../runtime/node/config.ts";\nexport const planted = readConfig;',
    /TS6307/,
  ],
  [
    "the core can't import Node's modules",
    "control/domain/planted-node.ts",
    'import { readFileSync } from "node:fs";\nexport const planted = readFileSync;',
    /TS2591|TS2307/,
  ],
  [
    "the core can't import what needs Node in shared/",
    "control/domain/planted-shared-node.ts",
    'import { sendRequest } from "../../shared/node/outgoing.ts";\nexport const planted = sendRequest;',
    /TS6307/,
  ],
  ["the core can't name process", "control/planted-process.ts", "export const planted = process.env;", /TS2591|TS2580/],
  [
    "the Worker can't import the Node runtime",
    "control/runtime/worker/planted.ts",
    'import { readConfig } from "../node/config.ts";\nexport const planted = readConfig;',
    /TS6307/,
  ],
  ["shared can't name process", "shared/planted-process.ts", "export const planted = process.pid;", /TS2591|TS2580/],
  ["shared can't name fetch", "shared/planted-fetch.ts", "export const planted = fetch;", /TS2304/],
];

let copy: string;
let errors: string[];

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "holdfast-references-"));
  for (const part of ["shared", "agent", "control", "tsconfig.json", "package.json"]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  // The packages as they are, but a cache of its own: what is compiled here must not pass for the real thing.
  mkdirSync(join(copy, "node_modules"));
  for (const name of readdirSync(join(root, "node_modules")).filter((each) => !each.startsWith("."))) {
    symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
  }
  for (const [, file, code] of refused) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    writeFileSync(join(copy, file), `${code}\n`);
  }
  const folders = ["shared", "control", "control/runtime/worker", "agent"];
  errors = folders.flatMap((folder) => compile(folder));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

test.each(refused)("%s (%s)", (_wall, file, _code, error) => {
  const found = errors.filter((line) => line.startsWith(`${file}(`));
  expect(found.join("\n")).toMatch(error);
});

function compile(folder: string): string[] {
  const run = spawnSync(join(root, "node_modules/.bin/tsc"), ["-b", folder, "--pretty", "false"], {
    cwd: copy,
    encoding: "utf8",
  });
  return run.stdout.split("\n");
}

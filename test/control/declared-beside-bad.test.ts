import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import type { Paths } from "../../agent/config.ts";
import { readDeclared, summarizeDeclared } from "../../agent/declared/contract-files.ts";
import { startDeclarationSync } from "../../agent/declared/declaration-sync.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { DeclarationsResult } from "../../shared/declaration.ts";
import { Host } from "../../shared/host.ts";
import { Incident } from "../../shared/incident.ts";
import { holdTime } from "../agent/held-time.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { testControl, type TestControl, type TestHost } from "../support/control.ts";

// One bad file of every kind beside good ones: the good ones are in force, in the control plane and on the host, and the
// bad one is a fault that says where. The agent's own reader and publisher, and a whole control plane.

const GOOD = ["mail", "notes", "photos"];

function goodFile(name: string) {
  return {
    name,
    request: {
      user: "root",
      sourceDirectories: [`/srv/${name}`],
      excludePatterns: ["*.tmp"],
      hooks: { beforeBackup: ["true"], afterBackup: [] },
    },
    consistency: [{ sqlite: `/srv/${name}/db.sqlite3` }, { postgres: name, port: 5432 }, { stop: `${name}.service` }],
    mountPoints: ["/srv"],
    stopForRestore: [`${name}.service`],
    settings: {
      provider: "restic",
      enable: true,
      passphrase: { file: "/etc/passphrase" },
      repository: {
        path: `/backup/${name}`,
        secrets: { AWS_ACCESS_KEY_ID: { source: "/run/secrets/id" } },
        timerConfig: { OnCalendar: "daily", RandomizedDelaySec: "5m", Persistent: true },
        ssh: { identityFile: null, hostKey: null },
        maintenance: { prune: { enable: true }, readDataParts: 13 },
      },
      retention: { keep_daily: 7 },
      zone: "Europe/Berlin",
      performance: { niceness: 15 },
      shrinkage: { percent: 50, action: "warn" },
      alerts: { grace: "1h", failures: 2 },
      pings: [{ kind: "healthchecks", url: "https://hc.example/x" }],
      hookTimeLimit: "10m",
      runTimeLimit: "24h",
    },
  };
}

const database = { user: "postgres", backupName: "all.sql", backupCmd: "pg_dumpall", restoreCmd: "psql" };

let control: TestControl;
let host: TestHost;
let paths: Paths;
let publish: () => Promise<boolean>;
let lastAnswer: DeclarationsResult;

beforeEach(async () => {
  control = await testControl();
  host = await control.enrol("nas");
  ({ paths } = await scratchRoot());
  await mkdir(paths.contractsDir, { recursive: true, mode: 0o755 });
  const sync = startDeclarationSync({
    paths,
    timers: holdTime().timers,
    config: { name: "nas" },
    log: () => undefined,
    deliver: async () => undefined,
    onChange: () => undefined,
    api: {
      putDeclarations: async (body) =>
        (lastAnswer = await host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", body)),
    },
  });
  publish = sync.publish;
  for (const name of GOOD) await put(`${name}.json`, goodFile(name));
  return () => sync.stop();
});

async function put(file: string, value: unknown, mode = 0o644): Promise<string> {
  const path = join(paths.contractsDir, file);
  await writeFile(path, typeof value === "string" || value instanceof Uint8Array ? value : JSON.stringify(value));
  await chmod(path, mode);
  return path;
}

/** Everything but the good files goes; what the bad ones left is no longer declared. */
async function onlyGood(): Promise<void> {
  for (const file of await readdir(paths.contractsDir)) {
    if (!GOOD.includes(file.replace(".json", ""))) await rm(join(paths.contractsDir, file), { recursive: true });
  }
}

const faultsNow = async () => (await control.admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).declarationFaults;

/** Publishes, and demands that the good files are in force. @returns the faults that host and control plane show */
async function publishedBeside() {
  await publish();
  const { items } = await control.admin.ask(page(Binding), "GET", `/api/v1/bindings?host=${host.id}`);
  const there = items.filter(({ declared }) => declared).map(({ name }) => name);
  expect(there).toEqual(expect.arrayContaining(GOOD));
  expect((await readDeclared(paths)).contracts.map(({ name }) => name)).toEqual(expect.arrayContaining(GOOD));
  const shown = await faultsNow();
  expect(shown).toEqual((await summarizeDeclared(paths)).faults);
  return shown;
}

const { request, settings } = goodFile("x");
const big = "x".repeat(2 * 1024 * 1024);
const inRequest = (change: object) => ({ ...goodFile("bad"), request: { ...request, ...change } });
const inSettings = (change: object) => ({ ...goodFile("bad"), settings: { ...settings, ...change } });
const inRepository = (change: object) => inSettings({ repository: { ...settings.repository, ...change } });
const within = <K extends keyof typeof settings>(key: K, change: object) =>
  inSettings({ [key]: { ...(settings[key] as object), ...change } });

/** What each file says, and the place of its fault. */
const CONTENTS: [string, unknown, string | null][] = [
  ["a pattern that takes back", inRequest({ excludePatterns: ["!keep"] }), "request.excludePatterns.0"],
  ["an empty pattern", inRequest({ excludePatterns: ["*.tmp", ""] }), "request.excludePatterns.1"],
  ["borg's pattern", inRequest({ excludePatterns: ["sh:**/x"] }), "request.excludePatterns.0"],
  ["the same, bare", { ...request, excludePatterns: ["!keep"] }, "excludePatterns.0"],
  ["a pattern with NUL", inRequest({ excludePatterns: ["a\0b"] }), "request.excludePatterns.0"],
  ["a pattern with half a character", inRequest({ excludePatterns: ["\ud800"] }), "request.excludePatterns.0"],
  ["too many patterns", inRequest({ excludePatterns: Array(1001).fill("*.x") }), "request.excludePatterns"],
  ["wrong entries without end", inRequest({ excludePatterns: Array(900).fill(7) }), "request.excludePatterns.0"],
  ["a long pattern", inRequest({ excludePatterns: ["a".repeat(4097)] }), "request.excludePatterns.0"],
  ["a source with NUL", inRequest({ sourceDirectories: ["/srv\0"] }), "request.sourceDirectories.0"],
  ["a source with half a character", inRequest({ sourceDirectories: ["/srv/\udfff"] }), "request.sourceDirectories.0"],
  ["a source above itself", inRequest({ sourceDirectories: ["/srv/../etc"] }), "request.sourceDirectories.0"],
  ["no user's name", inRequest({ user: "two words" }), "request.user"],
  ["a hook of nothing", inRequest({ hooks: { beforeBackup: [""], afterBackup: [] } }), "request.hooks.beforeBackup.0"],
  ["a hook with NUL", inRequest({ hooks: { beforeBackup: ["a\0"] } }), "request.hooks.beforeBackup.0"],
  ["a huge hook", inRequest({ hooks: { beforeBackup: ["x".repeat(65_537)] } }), "request.hooks.beforeBackup.0"],
  ["an unknown key of the hooks", inRequest({ hooks: { duringBackup: [] } }), "request.hooks.duringBackup"],
  ["an unknown key of the request", inRequest({ exclude: [] }), "request.exclude"],
  ["an unknown key beside it", { ...goodFile("bad"), hooks: {} }, "hooks"],
  ["a key that only we write", { ...goodFile("bad"), file: "x" }, "file"],
  ["another one", { ...goodFile("bad"), bound: null }, "bound"],
  ["another kind", { ...goodFile("bad"), kind: "dataset" }, "kind"],
  ["an odd name", { ...goodFile("bad"), name: "Two Words" }, "name"],
  ["an unknown consistency", { ...goodFile("bad"), consistency: [{ oracle: "x" }] }, "consistency.0"],
  ["a relative mount point", { ...goodFile("bad"), mountPoints: ["srv"] }, "mountPoints.0"],
  ["no unit", { ...goodFile("bad"), stopForRestore: ["bad"] }, "stopForRestore.0"],
  ["an unknown setting", inSettings({ retentoin: {} }), "settings.retentoin"],
  ["no passphrase", inSettings({ passphrase: undefined }), "settings.passphrase"],
  ["a passphrase itself", inSettings({ passphrase: "hunter2" }), "settings.passphrase"],
  ["an unknown provider", inSettings({ provider: "tar" }), "settings.provider"],
  ["no time zone", inSettings({ zone: "Europe/Nowhere" }), "settings.zone"],
  ["a place of nobody", inRepository({ path: "backup" }), "settings.repository.path"],
  ["a place with half a character", inRepository({ path: "/backup/\ud800" }), "settings.repository.path"],
  ["a place with NUL", inRepository({ path: "/backup/\0" }), "settings.repository.path"],
  ["a huge place", inRepository({ path: `/${"x".repeat(4000)}` }), "settings.repository.path"],
  ["an unknown key of the place", inRepository({ pth: "/x" }), "settings.repository.pth"],
  ["an unknown secret", inRepository({ secrets: { PATH: "/x" } }), "settings.repository.secrets.PATH"],
  [
    "a time that never is",
    inRepository({ timerConfig: { OnCalendar: "25:00" } }),
    "settings.repository.timerConfig.OnCalendar",
  ],
  [
    "a wrong access",
    inRepository({ maintenance: { access: { location: "x" } } }),
    "settings.repository.maintenance.access.location",
  ],
  ["half a rule", within("retention", { keep_last: 0.5 }), "settings.retention.keep_last"],
  ["half a priority", within("performance", { niceness: 0.5 }), "settings.performance.niceness"],
  ["no address", inSettings({ pings: [{ kind: "healthchecks", url: "ftp://x" }] }), "settings.pings.0.url"],
  ["half a database", { user: "postgres", backupCmd: "pg_dumpall" }, "restoreCmd"],
  ["a database's file with a path", { ...database, backupName: "../x" }, "backupName"],
  ["files' words for a database", { request: database, mountPoints: [] }, "mountPoints"],
  ["a dataset", { dataset: "pool/x" }, "dataset"],
  ["a list", [goodFile("bad")], null],
  ["null", "null", null],
  ["not JSON", '{"user": ', null],
  ["nothing", "", null],
  ["far too deep", "[".repeat(200_000), null],
  [
    "too deep in a field",
    `{"user":"root","sourceDirectories":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    "sourceDirectories.0",
  ],
  ["not UTF-8", new Uint8Array([0x7b, 0xff, 0x7d]), null],
  ["two megabytes", JSON.stringify({ ...request, user: big }), null],
];

test("bad files of every kind are faults with their fields, and stop no other", async () => {
  for (const [index, [, value]] of CONTENTS.entries()) await put(`m-${index}.json`, value);
  const faults = await publishedBeside();
  const found = CONTENTS.map(([what], index) => {
    const fault = faults.find(({ file }) => file === `m-${index}.json`);
    return [what, fault?.field, fault?.message.startsWith(fault.field ?? "")];
  });
  expect(found).toEqual(CONTENTS.map(([what, , field]) => [what, field, true]));
  expect((await summarizeDeclared(paths)).declared).toBe(GOOD.length);
  const [incident] = (await control.admin.ask(page(Incident), "GET", "/api/v1/incidents?state=open")).items;
  expect(incident).toMatchObject({
    kind: "host.declaration_refused",
    summary: expect.stringMatching(
      /^host "nas" declares what is not in force: m-0.json: request.excludePatterns.0: .* more files\)$/,
    ),
  });
  await onlyGood();
  expect(await publishedBeside()).toEqual([]);
  expect((await control.admin.ask(page(Incident), "GET", "/api/v1/incidents?state=open")).items).toEqual([]);
});

test("what is no readable file of root's is a fault of that file alone", async () => {
  const at = (file: string) => join(paths.contractsDir, file);
  await mkdir(at("directory.json"));
  execFileSync("mkfifo", [at("pipe.json")]);
  await symlink("/nowhere/at/all", at("gone.json"));
  await symlink(at("itself.json"), at("itself.json"));
  await symlink("/dev/zero", at("device.json"));
  await put("theirs.json", goodFile("theirs"), 0o666);
  await put("nobodys.json", goodFile("nobodys"));
  if (process.getuid?.() === 0) await chown(at("nobodys.json"), 65534, 65534);
  else await rm(at("nobodys.json"));
  const bad = (await readdir(paths.contractsDir)).filter((file) => !GOOD.includes(file.replace(".json", "")));
  const faults = await publishedBeside();
  expect(faults.map(({ file, field }) => [file, field])).toEqual(bad.toSorted().map((file) => [file, null]));
});

/** Any value where another one belongs, at any place of the file. */
const wrongSomewhere = fc
  .tuple(fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }), fc.jsonValue(), fc.constantFrom("set", "add", "remove"))
  .map(([path, value, how]) => {
    const file: unknown = goodFile("bad");
    let at = file as Record<string, unknown>;
    for (const step of path) {
      const keys = Object.keys(at);
      const key = keys[step % keys.length] ?? "nothing";
      const inner = at[key];
      if (typeof inner === "object" && inner !== null && Object.keys(inner).length > 0) {
        at = inner as Record<string, unknown>;
        continue;
      }
      if (how === "remove") delete at[key];
      else at[how === "add" ? `${key}x` : key] = value;
      break;
    }
    return file;
  });

test("whatever a file says, the others are in force, and it is in force itself or a fault", async () => {
  let files = 0;
  await fc.assert(
    fc.asyncProperty(wrongSomewhere, async (value) => {
      await onlyGood();
      // Never one that was in force before: that would stay.
      await put(`bad${files++}.json`, value);
      const faults = await publishedBeside();
      const isApplied = lastAnswer.contracts.length === GOOD.length + 1;
      expect(isApplied).toBe(faults.length === 0);
    }),
    { numRuns: 25 },
  );
});

test("whatever an agent publishes, the control plane refuses each part by itself", async () => {
  await publish();
  const { items } = await control.admin.ask(page(Binding), "GET", `/api/v1/bindings?host=${host.id}`);
  const isThere = async () =>
    expect((await control.admin.ask(page(Binding), "GET", `/api/v1/bindings?host=${host.id}`)).items).toEqual(items);
  const kept = GOOD;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 4 }), fc.jsonValue(), async (declarations, fault) => {
      const body = { declarations, faults: [fault], kept, newer: true };
      const { refused } = await host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", body);
      expect(refused.length).toBeGreaterThanOrEqual(declarations.length);
      await isThere();
    }),
    { numRuns: 25 },
  );
  // More than anybody can declare, one of them twice, and a fault without end.
  const many = Array.from({ length: 1001 }, (_, index) => ({
    kind: "databasebackup",
    file: `${index}.json`,
    name: index === 7 ? "n8" : `n${index}`,
    request: database,
    bound: null,
  }));
  const long = { file: "x".repeat(5000), message: "x".repeat(9000) };
  const answer = await host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", {
    declarations: many,
    faults: [long],
    kept,
  });
  expect([answer.contracts.length, answer.refused.map(({ file, field }) => [file, field])]).toEqual([
    998,
    [
      ["1000.json", null],
      ["7.json", "name"],
      ["8.json", "name"],
    ],
  ]);
  expect((await faultsNow())[0]).toMatchObject({ file: "x".repeat(255), message: "x".repeat(4096) });
});

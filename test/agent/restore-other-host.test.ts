import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AgentProcess, agentIn, type Outcome } from "../support/agent.ts";
import { buildPrograms } from "../support/built.ts";
import { freePort } from "../support/free-port.ts";
import { type Program, startProgram } from "../support/program.ts";
import { startWorld, type Thing, type World } from "../support/world.ts";

// Two hosts and a server that both reach: one host is lost, and its files come back on the other.

const port = await freePort();
let world: World;
let server: Program;
let other: AgentProcess;
let otherRoot: string;
let source: string;
let repository: Thing;
let run: Thing;
let token: string;

beforeAll(async () => {
  world = await startWorld();
  server = await startServer();
  otherRoot = join(world.directory, "other");
  await mkdir(otherRoot);
  other = agentIn(otherRoot);
  for (const [name, agent] of Object.entries({ one: world.agent, other })) {
    const enrollment = await world.api.post("/enrollments", { name });
    await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
    agent.start();
  }
  token = String((await world.api.post("/tokens", { name: "restorer", scope: "admin" }))["token"]);
  source = join(world.directory, "srv");
  await mkdir(source);
  await writeFile(join(source, "letter"), "dear reader");
  const request = { user: world.user, sourceDirectories: [source] };
  const contract = await world.api.post("/contracts", { host: "one", name: "letters", request });
  repository = await world.api.post("/repositories", {
    name: "nas",
    provider: "restic",
    passphrase: { generate: true },
    location: `rest:http://127.0.0.1:${port}/letters`,
  });
  const bound = { contract: contract["id"], repository: repository["id"], settings: { enable: false } };
  const binding = await world.api.post("/bindings", { ...bound, name: "letters" });
  run = await world.endOf(await world.api.post(`/bindings/${binding["id"]}/run`, {}));
});

afterAll(async () => {
  await other.kill("SIGTERM");
  await world.end();
  await server.stop();
});

test("files are restored on another host that has the passphrase", async () => {
  expect(run).toMatchObject({ state: "succeeded" });
  const target = join(world.directory, "back");
  const without = await holdfast("restore", "letters", "latest", "--host", "other", "--target", target);
  expect(without).toMatchObject({ code: 1, stdout: "" });
  expect(without.stderr).toContain(`/var/lib/holdfast/secrets/${repository["id"]}`);

  const passphrase = join(otherRoot, "passphrase");
  await cp(await world.passphraseFile("nas"), passphrase);
  const words = ["restore", "letters", "latest", "--host", "other", "--passphrase-file", passphrase, "--wait"];
  const dry = await holdfast(...words, "--target", target, "--dry-run");
  expect(dry).toMatchObject({ code: 0, stderr: "" });
  expect(dry.stdout).toContain(`create ${source}/letter\n`);
  expect(dry.stdout).toContain("nothing was changed: 1 to create, 0 to update");
  expect(await readdir(world.directory)).not.toContain("back");

  const aside = await holdfast(...words, "--target", target);
  expect(aside).toMatchObject({ code: 0, stderr: "" });
  expect(aside.stdout).toContain("restored 1 files (11 bytes)");
  expect(await readFile(join(target, source, "letter"), "utf8")).toBe("dear reader");

  await world.agent.kill("SIGTERM");
  await rm(source, { recursive: true });
  const inPlace = await holdfast(...words);
  expect(inPlace).toMatchObject({ code: 0, stderr: "" });
  expect(inPlace.stdout).toContain("compared with the snapshot: 1 match, 0 differ");
  expect(await readFile(join(source, "letter"), "utf8")).toBe("dear reader");
  const { items } = await world.api.get("/runs?kind=restore");
  const hosts = await world.api.get("/hosts?name=other");
  expect(items.map(({ host }) => host)).toEqual(Array(3).fill(hosts.items[0]?.["id"]));

  await writeFile(
    join(otherRoot, "etc/holdfast/policy.json"),
    JSON.stringify({ level: "open", repositories: ["/srv"] }),
  );
  const refused = await holdfast(...words);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain("policy");
});

/** Debian's restic-rest-server, on loopback. */
async function startServer(): Promise<Program> {
  const engines = process.env["HOLDFAST_TEST_ENGINES"] ?? "";
  const found = (await readdir(engines)).find((name) => /^rest-server-[\d.]+$/.test(name));
  if (found === undefined) throw new Error("there is no rest-server: run sh .ci/setup test");
  const data = join(world.directory, "storage");
  await mkdir(data);
  return await startProgram({
    command: join(engines, found, "usr/bin/rest-server"),
    args: ["--no-auth", "--listen", `127.0.0.1:${port}`, "--path", data],
    ready: answers,
  });
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** The command line of whoever restores, with a token that may. */
async function holdfast(...words: string[]): Promise<Outcome> {
  const { holdfast: program } = await buildPrograms();
  const env = { ...process.env, HOLDFAST_URL: world.url, HOLDFAST_TOKEN: token };
  const child = spawn(process.execPath, [program, ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
  const outcome: Outcome = { code: null, stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (outcome.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (outcome.stderr += chunk.toString()));
  [outcome.code] = (await once(child, "close")) as [number | null];
  return outcome;
}

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { readRecoveryKey, writeRecoveryKey } from "../../control/runtime/node/recovery-key.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { Run, Snapshot } from "../../shared/run.ts";
import { type AgentProcess, agentIn } from "../support/agent.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { type Client, openClient } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

// The worst day of the control plane itself, with the programs that people run: its disk is gone, and all comes back
// with one line.

let programs: Built;
let directory: string;
let data: string;
let port: number;
let holdfast: ChildProcess | null = null;
let said = "";
let other: AgentProcess;
let localKey: string;

beforeAll(async () => {
  programs = await buildPrograms();
  directory = await mkdtemp(join(tmpdir(), "holdfast-worst-day-"));
  data = join(directory, "it's data");
  port = await freePort();
  await mkdir(join(directory, "other"));
  other = agentIn(join(directory, "other"), {}, programs.agent);
});

afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(`${said}\n${other.said()}`);
});

afterAll(async () => {
  await other.kill("SIGKILL");
  await killAll();
  await programs.remove();
  await rm(directory, { recursive: true, force: true });
});

test("a control plane with a lost data directory is restored with its recovery key, and its hosts reconnect", async () => {
  await start();
  let client = await admin();
  const [first] = await all(client, Host, "hosts");
  const { token } = await client.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "other", uses: 5 });
  expect(await other.cli("enroll", "--url", origin(), "--token", token)).toMatchObject({ code: 0 });
  other.start();

  await mkdir(join(directory, "srv"));
  await writeFile(join(directory, "srv/letter"), "dear reader");
  const letters = await declare(client, { host: "other", name: "letters", source: join(directory, "srv") });
  expect(await ran(client, letters)).toMatchObject({ state: "succeeded" });
  await cheapen("other", letters);
  await cheapen("it's data/agent", await named(client, "control-plane-local"), "it's data/repository");
  const kept = await keepElsewhere(client);
  expect(await ran(client, kept)).toMatchObject({ state: "succeeded" });

  localKey = (await holdfastVerb(["recovery-key", "--repository", "local"])).stdout;
  const printed = await holdfastVerb(["recovery-key", "--repository", "elsewhere"]);
  expect(printed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^hfr1\.[\w-]+\.[\w-]{10}\n$/) });
  expect(printed.stderr).toContain(`opens repository "elsewhere" (${join(directory, "elsewhere")})`);
  expect(printed.stderr).toContain("on the same disk");

  // What happens after the backup: the other host gets newer assignments, and runs once more.
  for (const limitUploadKiBs of [100_000, 200_000, 300_000])
    await client.ask(Binding, "PATCH", `/api/v1/bindings/${letters.id}`, { settings: { limitUploadKiBs } });
  const lost = await ran(client, letters);
  const before = await revisionOnHost();

  await killAll();
  await cp(join(data, "repository"), join(directory, "moved"), { recursive: true });
  await rm(data, { recursive: true });
  const key = printed.stdout.trim();
  const keyFile = join(directory, "key");
  await writeFile(keyFile, `${key.slice(0, 70)}\n  ${key.slice(70)}\n`);
  const restored = await holdfastVerb(["restore-control", "--key-file", keyFile]);
  expect(restored, restored.stderr).toMatchObject({ code: 0 });
  expect(restored.stdout).toContain("It knows 2 hosts");
  expect((await readdir(data)).toSorted()).toEqual([
    "agent",
    "control.db",
    "control.lock",
    "rows.protected",
    "signing.key",
  ]);
  expect((await stat(join(data, "signing.key"))).mode & 0o777).toBe(0o600);
  await start();
  client = await admin();
  const hosts = await until("both hosts to be back", async () => {
    const now = await all(client, Host, "hosts");
    return now.every(({ online }) => online) && now;
  });
  expect(new Set(hosts.map(({ name }) => name))).toEqual(new Set([first?.name, "other"]));
  expect(hosts.map(({ id }) => id)).toContain(first?.id);

  // The other host takes what is new, which an older revision would not be, and its run is told.
  await client.ask(Binding, "PATCH", `/api/v1/bindings/${letters.id}`, { settings: { limitUploadKiBs: 400_000 } });
  await until("the other host to have a newer assignment", async () => (await revisionOnHost()) > before + 1000);
  expect(await ran(client, letters)).toMatchObject({ state: "succeeded" });
  const snapshots = await client.ask(page(Snapshot), "GET", `/api/v1/snapshots?binding=${letters.id}`);
  expect(snapshots.items.map(({ id }) => id)).toContain(lost.snapshot);
  expect((await client.send("GET", `/api/v1/runs/${lost.id}`)).status).toBe(404);

  // This machine is the host it was, with the passphrases that only it had; its first repository went with the disk,
  // and is not made anew.
  expect(await ran(client, kept)).toMatchObject({ state: "succeeded" });
  const backups = await client.ask(page(Run), "GET", `/api/v1/runs?binding=${kept.id}&kind=backup`);
  expect(backups.items[1]).toMatchObject({ state: "warned", snapshot: expect.any(String) });
  const local = await named(client, "control-plane-local");
  expect(await ran(client, local)).toMatchObject({ state: "failed", failure: { code: "repository.missing" } });

  const stolen = await agentIn(join(directory, "third"), {}, programs.agent).cli(
    "enroll",
    "--url",
    origin(),
    "--token",
    token,
  );
  expect(stolen).toMatchObject({ code: 1, stderr: expect.stringContaining("was used already") });
});

test("repository and control plane may have moved; existing files are moved aside with --force", async () => {
  const place = join(directory, "new data");
  const words = ["restore-control", "--key-file", "-", "--location", join(directory, "moved"), "--data", place];
  expect(await holdfastVerb(words, localKey)).toMatchObject({ code: 0 });
  const db = new DatabaseSync(join(place, "control.db"), { readOnly: true });
  onTestFinished(() => db.close());
  expect(db.prepare("SELECT location FROM repositories WHERE name = 'local'").get()).toEqual({
    location: join(directory, "moved"),
  });
  const contract = db.prepare("SELECT request FROM contracts WHERE name = 'control-plane'").get();
  expect(JSON.parse(String(contract?.["request"]))).toMatchObject({ sourceDirectories: [join(place, "backup")] });

  const kept = await readFile(join(place, "signing.key"), "utf8");
  await writeFile(join(place, "signing.key"), "spoilt");
  const taken = await holdfastVerb(words, localKey);
  expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining("holds a control plane") });
  const forced = await holdfastVerb([...words, "--force"], localKey);
  expect(forced).toMatchObject({ code: 0, stdout: expect.stringContaining("The existing files were moved to ") });
  expect(await readFile(join(place, "signing.key"), "utf8")).toBe(kept);
  const aside = (await readdir(place)).find((name) => name.startsWith("replaced-")) ?? "";
  expect((await readdir(join(place, aside))).toSorted()).toEqual(["agent", "control.db", "signing.key"]);
  expect(await readFile(join(place, aside, "signing.key"), "utf8")).toBe("spoilt");

  const another = writeRecoveryKey({ ...readRecoveryKey(localKey), controlKey: "of another control plane" });
  const refused = await holdfastVerb([...words, "--force"], another);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("has another signing key") });
  const unknown = await holdfastVerb([...words, "--force", "--snapshot", "0123456789"], localKey);
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("no snapshot 0123456789") });
  expect((await readdir(place)).toSorted()).toEqual([
    "agent",
    "control.db",
    "control.lock",
    aside,
    "rows.protected",
    "signing.key",
  ]);
});

async function keepElsewhere(client: Client): Promise<Binding> {
  const repository = await client.ask(Repository, "POST", "/api/v1/repositories", {
    name: "elsewhere",
    provider: "restic",
    location: join(directory, "elsewhere"),
    passphrase: { generate: true },
  });
  const [contract] = (await all(client, Contract, "contracts")).filter(({ name }) => name === "control-plane");
  const bound = { contract: contract?.id, repository: repository.id, settings: { enable: false } };
  const binding = await client.ask(Binding, "POST", "/api/v1/bindings", bound);
  return binding;
}

/** @param root of the agent that made the passphrase, in our directory */
async function cheapen(root: string, { name, repository }: Binding, place = name): Promise<void> {
  const secret = await readFile(join(directory, root, "var/lib/holdfast/secrets", repository), "utf8");
  await cheapenKey(join(directory, place), secret.trim());
}

async function declare(client: Client, { host, name, source }: { host: string; name: string; source: string }) {
  const request = { user: userInfo().username, sourceDirectories: [source] };
  const contract = await client.ask(Contract, "POST", "/api/v1/contracts", { host, name, request });
  const repository = await client.ask(Repository, "POST", "/api/v1/repositories", {
    name,
    provider: "restic",
    location: join(directory, name),
    passphrase: { generate: true },
  });
  const bound = { name, contract: contract.id, repository: repository.id, settings: { enable: false, retention: {} } };
  return client.ask(Binding, "POST", "/api/v1/bindings", bound);
}

async function named(client: Client, name: string): Promise<Binding> {
  const [binding] = (await all(client, Binding, "bindings")).filter((each) => each.name === name);
  if (binding === undefined) throw new Error(`there is no binding ${name}`);
  return binding;
}

async function ran(client: Client, { id }: Binding): Promise<Run> {
  const queued = await client.ask(Run, "POST", `/api/v1/bindings/${id}/run`);
  return until(`the end of ${queued.id}; the other agent said:\n${other.said()}`, async () => {
    const now = await client.ask(Run, "GET", `/api/v1/runs/${queued.id}`);
    return now.finishedAt !== null && now;
  });
}

/** Of the assignment that the other host has stored. */
async function revisionOnHost(): Promise<number> {
  const jws = await readFile(join(directory, "other/var/lib/holdfast/assignment.jws"), "utf8");
  const { revision } = z
    .object({ revision: z.int() })
    .parse(JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()));
  return revision;
}

const origin = (): string => `http://127.0.0.1:${port}`;

function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  return { ...Object.fromEntries(inherited), HOLDFAST_DATA: data, HOLDFAST_PORT: String(port) };
}

/** As `npm start`, until it has printed its lines. */
async function start(): Promise<void> {
  const child = spawn(process.execPath, [programs.holdfast, "start"], {
    env: environment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  holdfast = child;
  await until("the lines of start", () => said.includes("Another host") || child.exitCode !== null, 90);
  expect(said).toContain("Another host");
}

/** The control plane, and the agent that it started: neither has a moment for anything. */
async function killAll(): Promise<void> {
  const file = join(data, "agent/var/lib/holdfast/daemon.json");
  const Daemon = z.object({ process: z.object({ pid: z.int() }) });
  const daemon = (await exists(file)) ? Daemon.parse(JSON.parse(await readFile(file, "utf8"))) : null;
  if (holdfast !== null && holdfast.exitCode === null) {
    const ended = once(holdfast, "exit");
    holdfast.kill("SIGKILL");
    await ended;
    if (daemon !== null) process.kill(daemon.process.pid, "SIGKILL");
  }
  holdfast = null;
  // What it started would write on, into the directory that the test takes away.
  await until("everything that worked in the data directory to be gone", async () => {
    const left = await processesAt(data);
    for (const pid of left) if (pid !== process.pid) killQuietly(pid);
    return left.every((pid) => pid === process.pid);
  });
}

/** Processes whose environment names a directory. */
async function processesAt(path: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const named = pids.map(async (pid) => {
    const environ = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    return environ.includes(path) ? [pid] : [];
  });
  return (await Promise.all(named)).flat();
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function holdfastVerb(words: string[], input = ""): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [programs.holdfast, ...words],
      { env: environment() },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

async function admin(): Promise<Client> {
  const token = (await readFile(join(data, "token"), "utf8")).trim();
  return openClient(origin(), () => token);
}

async function all<T>(client: Client, item: z.ZodType<T>, collection: string): Promise<T[]> {
  return (await client.ask(page(item), "GET", `/api/v1/${collection}?limit=500`)).items;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

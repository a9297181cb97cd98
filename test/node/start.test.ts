import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { type Client, openClient } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

// `holdfast start` as `npm start` runs it: the two bundles, restic, and a terminal that we read. One story, in order.

let programs: Built;
let data: string;
let port: number;
let running: Started | null = null;

beforeAll(async () => {
  programs = await buildPrograms();
  data = join(await mkdtemp(join(tmpdir(), "holdfast-start-")), "it's data");
  port = await freePort();
});

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(running?.said() ?? "");
  await running?.stop();
});

afterAll(async () => {
  await programs.remove();
  await rm(join(data, ".."), { recursive: true, force: true });
});

let firstSnapshot: string;

test("the first start backs up the control plane's database, and prints a dozen lines", async () => {
  const holdfast = await start();
  const lines = holdfast.lines();
  expect(lines.length).toBeLessThanOrEqual(16);
  if (process.getuid?.() === 0) {
    // Root's agent works for other users too: they walk through to it, and into nothing else.
    const open = await namesWithMode(data, (mode) => (mode & 0o077) !== 0);
    expect(open).toEqual(["agent"]);
    expect(await Promise.all([data, join(data, "agent")].map(async (path) => (await stat(path)).mode & 0o777))).toEqual(
      [0o711, 0o711],
    );
    expect((await stat(join(data, "agent/var/lib/holdfast"))).mode & 0o777).toBe(0o700);
  }
  expect(holdfast.row("Control plane")).toContain(`http://127.0.0.1:${port}`);
  expect(holdfast.row("API token")).toContain((await readFile(join(data, "token"), "utf8")).trim());
  expect((await stat(join(data, "token"))).mode & 0o777).toBe(0o600);
  expect(holdfast.row("Next run")).toMatch(/^20\d\d-/);
  expect(holdfast.row("Another host")).toContain("npm run package");
  expect(lines.join("\n")).toContain("HOLDFAST_HOST=0.0.0.0");
  firstSnapshot = (holdfast.row("Snapshot") ?? "").slice(0, 8);

  const client = await admin();
  const [host] = await all(client, Host, "hosts");
  expect(host).toMatchObject({ online: true, facts: { runsAs: userInfo().username } });
  expect(holdfast.row("Host")).toContain(host?.name);
  expect(await all(client, Binding, "bindings")).toMatchObject([{ name: "control-plane-local", health: "healthy" }]);
  // What the hook put there for the backup is gone again.
  expect(await readdir(join(data, "backup"))).toEqual([]);
  await holdfast.stop();
});

test("the snapshot contains an intact database and the signing key", async () => {
  const repository = { RESTIC_REPOSITORY: join(data, "repository"), RESTIC_PASSWORD_FILE: passphraseIn(running) };
  const target = join(data, "../restored");
  await restic(["restore", firstSnapshot, "--target", target], repository);
  const restored = join(target, data, "backup");
  expect(await readFile(join(restored, "signing.key"), "utf8")).toBe(await readFile(join(data, "signing.key"), "utf8"));
  const db = new DatabaseSync(join(restored, "control.db"), { readOnly: true });
  try {
    expect(db.prepare("SELECT name FROM contracts").all()).toEqual([{ name: "control-plane" }]);
    expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  } finally {
    db.close();
  }
});

test("the second start is quick and creates nothing twice, and a double Ctrl-C counts once", async () => {
  const began = performance.now();
  const holdfast = await start();
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(holdfast.row("Snapshot")).toContain(firstSnapshot);
  const client = await admin();
  await until("the host to be online", async () => (await all(client, Host, "hosts"))[0]?.online);
  expect(await all(client, Host, "hosts")).toHaveLength(1);
  expect(await all(client, Contract, "contracts")).toHaveLength(1);
  expect(await all(client, Repository, "repositories")).toHaveLength(1);
  expect(await all(client, Binding, "bindings")).toHaveLength(1);
  expect((await all(client, Run, "runs")).filter(({ kind }) => kind === "backup")).toHaveLength(1);
  holdfast.child.kill("SIGINT");
  holdfast.child.kill("SIGINT");
  expect(await holdfast.ended).toEqual([0, null]);
  expect(holdfast.said()).toContain("agent | ");
});

test("an agent that dies is restarted", async () => {
  const holdfast = await start();
  const client = await admin();
  const isOnline = async (): Promise<boolean | undefined> => (await all(client, Host, "hosts"))[0]?.online;
  await until("the host to be online", isOnline);
  const { process: agent } = z
    .object({ process: z.object({ pid: z.int() }) })
    .parse(JSON.parse(await readFile(join(data, "agent/var/lib/holdfast/daemon.json"), "utf8")));
  process.kill(agent.pid, "SIGKILL");
  const afterwards = await until(
    "it to be said",
    () => holdfast.said().split("The agent ended unexpectedly (SIGKILL)")[1],
  );
  expect(afterwards).toContain("it restarts in 1 s");
  await until("the next agent to connect", () => /SIGKILL[^]*agent \| \S+ connected/.test(holdfast.said()));
  expect(await until("the host to be online again", isOnline)).toBe(true);
  await holdfast.stop();
});

test("Ctrl-C during a backup stops it cleanly: the after hook runs, the exit status is 0, the run is reported", async () => {
  const holdfast = await start();
  const client = await admin();
  const marks = join(data, "..");
  await hook("stop-service", `touch '${marks}/stopped'\nsleep 600`);
  await hook("start-service", `touch '${marks}/started'`);
  const [host] = await all(client, Host, "hosts");
  const contract = await client.ask(Contract, "POST", "/api/v1/contracts", {
    host: host?.id,
    name: "service",
    request: {
      user: userInfo().username,
      sourceDirectories: [join(data, "agent/etc")],
      hooks: { beforeBackup: ["stop-service"], afterBackup: ["start-service"] },
    },
  });
  const binding = await client.ask(Binding, "POST", "/api/v1/bindings", { contract: contract.id, repository: "local" });
  const queued = await client.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  await until("the backup to be under way", () => exists(join(marks, "stopped")));
  holdfast.child.kill("SIGINT");
  expect(await holdfast.ended).toEqual([0, null]);
  expect(await exists(join(marks, "started"))).toBe(true);

  const next = await start();
  const finished = await until("the run's end to be told", async () => {
    const run = await client.ask(Run, "GET", `/api/v1/runs/${queued.id}`);
    return run.finishedAt !== null && run;
  });
  expect(["cancelled", "interrupted", "failed"]).toContain(finished.state);
  await next.stop();
});

test("this machine's agent follows a changed address", async () => {
  port = await freePort();
  const holdfast = await start();
  const client = await admin();
  expect(await until("the host to be online", async () => (await all(client, Host, "hosts"))[0]?.online)).toBe(true);
  expect(holdfast.row("Snapshot")).toContain(firstSnapshot);
  await holdfast.stop();
});

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<[number | null, string | null]>;
  /** Everything on both streams. */
  said(): string;
  /** What stands on stdout. */
  lines(): string[];
  /** What stands behind that word there. */
  row(name: string): string | undefined;
  stop(): Promise<void>;
}

/** Starts it and waits until it has printed its lines. */
async function start(): Promise<Started> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  const child = spawn(process.execPath, [programs.holdfast, "start"], {
    env: { ...Object.fromEntries(inherited), HOLDFAST_DATA: data, HOLDFAST_PORT: String(port) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
    said += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  const lines = (): string[] => stdout.split("\n").filter((line) => line !== "");
  const started: Started = {
    child,
    ended,
    said: () => said,
    lines,
    row: (name) =>
      lines()
        .find((line) => line.startsWith(`  ${name} `))
        ?.slice(name.length + 2)
        .trim(),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      expect(await ended, said).toEqual([0, null]);
    },
  };
  running = started;
  await until("the lines of start", () => stdout.includes("Another host") || child.exitCode !== null, 90);
  expect(stdout, said).toContain("Another host");
  return started;
}

function passphraseIn(started: Started | null): string {
  const file = started?.row("Passphrase");
  if (file === undefined) throw new Error("no line says where the passphrase is");
  return file;
}

async function admin(): Promise<Client> {
  const token = (await readFile(join(data, "token"), "utf8")).trim();
  return openClient(`http://127.0.0.1:${port}`, () => token);
}

async function all<T>(client: Client, item: z.ZodType<T>, collection: string): Promise<T[]> {
  return (await client.ask(page(item), "GET", `/api/v1/${collection}?limit=500`)).items;
}

async function hook(name: string, script: string): Promise<void> {
  const file = join(data, "agent/etc/holdfast/hooks.d", name);
  await writeFile(file, `#!/bin/sh -eu\n${script}\n`);
  await chmod(file, 0o755);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function restic(args: string[], environment: Record<string, string>): Promise<void> {
  await promisify(execFile)("restic", args, { env: { ...process.env, ...environment } });
}

async function namesWithMode(directory: string, isMeant: (mode: number) => boolean): Promise<string[]> {
  const names = await readdir(directory);
  const modes = await Promise.all(
    names.map(async (name) => (await stat(join(directory, name)).catch(() => null))?.mode),
  );
  return names.filter((_name, index) => isMeant(modes[index] ?? 0));
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { type RunningControl, startControl } from "../../control/runtime/node/server.ts";
import type { Run } from "../../shared/run.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { openClient } from "../support/client.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost, FAKE_FACTS, type FakeHost } from "../support/fake-host.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { temporaryDirectory } from "./deps.ts";

let programs: Built;

beforeAll(async () => {
  programs = await buildPrograms();
});

afterAll(() => programs.remove());

test.each([
  [[], 2, "usage:"],
  [["sing"], 2, "unknown command 'sing'"],
  [["status", "--jsn"], 2, "--jsn"],
  [["status", "all"], 2, "unexpected argument 'all'"],
  [["token", "create", "--scope", "read"], 2, "NAME is missing"],
  [["token", "create", "ci", "--scope", "root"], 2, "scope"],
  [["run"], 2, "BINDING is missing"],
  [["restore", "photos"], 2, "SNAPSHOT is missing"],
  [["restore", "photos", "yesterday"], 2, "snapshot"],
  [["restore", "photos", "latest", "--overwrite", "sometimes"], 2, "overwrite"],
  [["restore", "photos", "latest", "--host", "two", "--passphrase-file", "here"], 2, "passphrase"],
  [["forget", "photos", "--dry"], 2, "--dry"],
  [["prune"], 2, "REPOSITORY is missing"],
  [["check"], 2, "REPOSITORY|BINDING is missing"],
  [["enroll", "--uses", "many"], 2, "--uses"],
  [["enroll", "nas", "--level", "total"], 2, "--level"],
  [["enroll", "nas", "--hook", "../evil"], 2, "--hook"],
  [["enroll", "nas", "attic"], 2, "unexpected argument 'attic'"],
  [["audit", "--since", "lately"], 2, "--since 'lately'"],
  [["restore-control"], 2, "--key-file is missing"],
  [["retry", "yesterday's"], 2, "holdfast deliveries"],
])("holdfast %j exits with %i", async (words, code, says) => {
  const outcome = await holdfast(words, {});
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toContain(says);
});

test("help lists the existing verbs and no others", async () => {
  const { code, stdout } = await holdfast(["--help"], {});
  expect(code).toBe(0);
  for (const verb of [
    "start",
    "serve",
    "token create",
    "enroll",
    "status",
    "run",
    "restore",
    "forget",
    "check",
    "prune",
    "migrate",
    "catalog",
    "accept",
    "audit",
    "recovery-key",
    "restore-control",
  ]) {
    expect(stdout).toContain(`holdfast ${verb}`);
  }
  expect(stdout).not.toMatch(/holdfast (apply|plan|export)/);
});

test("a control plane that does not answer is 75: try later", async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const outcome = await holdfast(["status"], { HOLDFAST_URL: url, HOLDFAST_TOKEN: "hft_x" });
  expect(outcome).toMatchObject({ code: 75, stdout: "" });
  expect(outcome.stderr).toContain(`${url} does not answer`);
});

test("without a token it says where to get one; with a wrong one it fails", async () => {
  const { environment } = await world();
  const none = await holdfast(["status"], { ...environment, HOLDFAST_TOKEN: "" });
  expect(none).toMatchObject({ code: 1 });
  expect(none.stderr).toContain("HOLDFAST_TOKEN");
  expect(await holdfast(["status"], { ...environment, HOLDFAST_TOKEN: "hft_wrong" })).toMatchObject({ code: 1 });
});

test("a token created offline works at once, and is found in the data directory", async () => {
  const { directory, environment } = await world();
  const made = await holdfast(["token", "create", "rescue", "--scope", "admin", "--offline"], {
    HOLDFAST_DATA: directory,
  });
  expect(made).toMatchObject({ code: 0, stderr: "" });
  expect(made.stdout).toMatch(/^hft_[\w-]{43}\n$/);
  await writeFile(join(directory, "token"), made.stdout);
  const next = await holdfast(["token", "create", "reader", "--scope", "read"], { ...environment, HOLDFAST_TOKEN: "" });
  expect(next).toMatchObject({ code: 0 });
  const reader = { ...environment, HOLDFAST_TOKEN: next.stdout.trim() };
  expect(await holdfast(["status", "--json"], reader)).toMatchObject({ code: 0 });
  const refused = await holdfast(["token", "create", "more", "--scope", "admin"], reader);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("scope");
  expect(
    (await holdfast(["token", "create", "reader", "--scope", "read", "--offline"], { HOLDFAST_DATA: directory }))
      .stderr,
  ).toContain("reader");
});

test("enroll prints only the command on stdout, and a warning about loopback on stderr", async () => {
  const { control, environment } = await world();
  const { code, stdout, stderr } = await holdfast(
    ["enroll", "nas", "--hook", "stop-it", "--level", "ask"],
    environment,
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ echo '[^']*' \| sudo sh -s -- --level ask --hook stop-it\n$/);
  expect(stdout).toContain(`${control.url}/install.sh`);
  expect(stderr).toContain(`${control.url} can be reached from this machine only`);
});

test("status shows hosts and bindings, as a table and as JSON", async () => {
  const { host, binding, environment } = await world();
  const { code, stdout } = await holdfast(["status"], environment);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^HOST +STATE +LAST SEEN +CLOCK +LEVEL\nnas +offline +20\d\d-.*Z +- +-\n/);
  expect(stdout).toMatch(new RegExp(`\nnas +${binding.name} +unprotected +- +- +- +-\n$`));

  const json = await holdfast(["status", "--json"], environment);
  expect(JSON.parse(json.stdout)).toMatchObject({
    hosts: [{ id: host.id, name: "nas", online: false }],
    bindings: [{ id: binding.id, health: "unprotected", lastFailure: null }],
  });

  const faults = [{ file: "mail.json", message: "is not JSON" }];
  await host.client.send("PUT", "/agent/v1/declarations", { declarations: [], faults });
  expect((await holdfast(["status"], environment)).stdout).toContain(
    "\n\nnas: contracts.d/mail.json is not in force: is not JSON\n\n",
  );
});

test("approvals lists what waits for root and the command for it, and status counts it", async () => {
  const { host, environment } = await world();
  expect((await holdfast(["approvals"], environment)).stdout).toBe("nothing waits for root\n");
  const wait = { kind: "repository", bindings: ["photos"], since: "2026-11-23T08:00:00.000Z" };
  const approvals = [{ ...wait, key: "0123456789abcdef", summary: "a new place:\u001b[31m rest:https://nas" }];
  await host.client.send("PUT", "/agent/v1/facts", { ...FAKE_FACTS, level: "open", approvals });
  const listed = await holdfast(["approvals", "--host", "nas"], environment);
  expect(listed.stdout).toMatch(
    /^HOST .*\nnas +2026-11-23 08:00Z +repository +holdfast-agent approve 0123456789abcdef +a new place: \[31m rest:https:\/\/nas\n$/,
  );
  const json = await holdfast(["approvals", "--json"], environment);
  expect(JSON.parse(json.stdout)).toMatchObject([{ hostName: "nas", host: host.id, bindings: ["photos"] }]);
  expect(await holdfast(["approvals", "--host", "attic"], environment)).toMatchObject({ code: 2 });
  const { stdout } = await holdfast(["status"], environment);
  expect(stdout).toMatch(/\nnas +offline .* open\n\nnas: 1 waits for root: see 'holdfast approvals'\n/);
});

test("instances shows which machines use a host's key, and takes the owner's word", async () => {
  const { control, host, environment } = await world();
  expect((await holdfast(["instances", "nas"], environment)).stdout).toBe("nas names none\n");
  // What was made within a few seconds of the first one may be late: these were made after that.
  const later = async () => ({ authorization: `Bearer ${await host.token({ clockAheadSeconds: 20 })}` });
  const ask = async (instance: string) =>
    await fetch(`${control.url}/agent/v1/orders`, { headers: { ...(await later()), "holdfast-instance": instance } });
  for (const instance of ["instance-one", "instance-two", "instance-one"]) await ask(instance);
  const shown = await holdfast(["instances", "nas"], environment);
  expect(shown.stdout).toMatch(
    /^INSTANCE .*\ninstance-one +20.* 127\.0\.0\.1\ninstance-two +20.* 127\.0\.0\.1\n\nTwo machines/,
  );
  expect((await holdfast(["status"], environment)).stdout).toContain("nas: two machines use its key");
  expect(await holdfast(["instances", "nas", "--accept", "other"], environment)).toMatchObject({ code: 1 });
  const accepted = await holdfast(["instances", "nas", "--accept", "instance-two"], environment);
  expect(accepted.stdout).toMatch(/^INSTANCE .*\ninstance-two +20.* 127\.0\.0\.1\n$/);
  expect([(await ask("instance-two")).status, (await ask("instance-one")).status]).toEqual([200, 403]);
});

test("audit shows who changed what, the newest last; a control plane without a backup has no recovery key", async () => {
  const { binding, environment } = await world();
  await holdfast(["run", binding.id], environment);
  const { code, stdout } = await holdfast(["audit"], environment);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^AT +WHO +WHAT +OBJECT +STATUS +FROM\n/);
  expect(stdout.trimEnd().split("\n").at(-1)).toMatch(
    new RegExp(`^20\\S+ +tests +POST /api/v1/bindings/:id/run +${binding.id} +202 +127\\.0\\.0\\.1$`),
  );
  expect(stdout).toMatch(/ host nas +POST \/agent\/v1\/enroll +- +200 +127\.0\.0\.1\n/);
  const none = await holdfast(["recovery-key"], environment);
  expect(none).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("is not backed up") });
});

test.each([
  ["succeeded", 0],
  ["warned", 3],
  ["failed", 1],
] as const)("run --wait waits for the end: %s is %i", async (state, code) => {
  const { control, token, host, binding, environment } = await world();
  const waiting = holdfast(["run", binding.name, "--wait"], environment);
  const admin = openClient(control.url, () => token);
  const queued = await until("the run to be queued", async () => {
    const { body } = await admin.send("GET", `/api/v1/runs?binding=${binding.id}`);
    return (body as { items: Run[] }).items[0];
  });
  await report(host, queued, state);
  const outcome = await waiting;
  expect(outcome).toMatchObject({ code, stdout: `${state} ${state === "failed" ? "-" : "0123abcd"}\n` });
  if (state === "failed") expect(outcome.stderr).toContain("the disk is full\nMake room.");
});

test("run and restore without --wait print the run's id; an unknown binding is an error", async () => {
  const { binding, environment } = await world();
  expect((await holdfast(["run", binding.id], environment)).stdout).toMatch(/^[0-9a-f-]{36}\n$/);
  const words = ["restore", binding.name, "0123abcd", "--target", "/srv/aside", "--include", "/srv/a", "/srv/b"];
  expect((await holdfast(words, environment)).stdout).toMatch(/^[0-9a-f-]{36}\n$/);
  const unknown = await holdfast(["run", "nothing"], environment);
  expect(unknown).toMatchObject({ code: 1, stdout: "" });
  expect(unknown.stderr).toContain("no binding is called 'nothing'");
});

test("serve runs until a signal, then exits with 0", async () => {
  const directory = await temporaryDirectory();
  const child = launch(["serve"], { HOLDFAST_DATA: directory, HOLDFAST_PORT: "0" });
  const [url] = (await once(child.stdout ?? child, "data")) as [Buffer];
  expect((await fetch(`${String(url).trim()}/healthz`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

test("migrate creates the schema, and has nothing to do the second time", async () => {
  const directory = await temporaryDirectory();
  const environment = { HOLDFAST_DATABASE_URL: `file:${join(directory, "other.db")}` };
  expect((await holdfast(["migrate"], environment)).stdout).toContain("0000");
  expect(await holdfast(["migrate"], environment)).toMatchObject({ code: 0, stdout: "nothing to do\n" });
});

test("copy-database makes a consistent copy of a database in use, over an older copy", async () => {
  const { directory } = await world();
  const copy = join(directory, "copy.db");
  await writeFile(copy, "an older copy");
  expect(await holdfast(["copy-database", join(directory, "control.db"), copy], {})).toMatchObject({
    code: 0,
    stderr: "",
  });
  const db = new DatabaseSync(copy, { readOnly: true });
  onTestFinished(() => db.close());
  expect(db.prepare("SELECT name FROM hosts").all()).toEqual([{ name: "nas" }]);
  expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  const missing = await holdfast(["copy-database", join(directory, "nothing.db"), copy], {});
  expect(missing.code).toBe(1);
});

interface World {
  control: RunningControl;
  directory: string;
  token: string;
  host: FakeHost;
  binding: { id: string; name: string };
  /** What a person has set who wants to use this control plane. */
  environment: Record<string, string>;
}

async function world(): Promise<World> {
  const directory = await temporaryDirectory();
  const control = await startControl(readConfig({ HOLDFAST_DATA: directory, HOLDFAST_PORT: "0" }));
  onTestFinished(control.close);
  const { token } = await createToken(control.deps, { name: "tests", scope: "admin", expiresInSeconds: null });
  const host = await enrolFakeHost(
    { name: "node", url: control.url, adminToken: token, stop: control.close, output: () => "" },
    "nas",
  );
  const { binding } = await declareBinding(
    openClient(control.url, () => token),
    { host: "nas", name: "photos" },
  );
  const environment = { HOLDFAST_DATA: directory, HOLDFAST_PORT: new URL(control.url).port, HOLDFAST_TOKEN: token };
  return { control, directory, token, host, binding, environment };
}

async function report(host: FakeHost, queued: Run, state: "succeeded" | "warned" | "failed"): Promise<void> {
  const { host: _host, progress: _progress, ...run } = queued;
  const now = new Date().toISOString();
  const failure = { code: "repository.full", message: "the disk is full", next: "Make room." };
  const ended = { ...run, state, startedAt: now, finishedAt: now, snapshot: state === "failed" ? null : "0123abcd" };
  const answer = await host.client.send("POST", "/agent/v1/reports", {
    reports: [
      {
        type: "run",
        sequence: 1,
        run: { ...ended, failure: state === "failed" ? failure : null },
        log: "",
        engineId: null,
        snapshots: null,
      },
    ],
  });
  expect(answer.body).toEqual({ accepted: [queued.id] });
}

function launch(words: string[], environment: Record<string, string>): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  return spawn(process.execPath, [programs.holdfast, ...words], {
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function holdfast(
  words: string[],
  environment: Record<string, string>,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = launch(words, environment);
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => (stdout += String(chunk)));
  child.stderr?.on("data", (chunk: Buffer) => (stderr += String(chunk)));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

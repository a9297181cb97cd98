import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { page } from "../../shared/api.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { openClient } from "../support/client.ts";
import { controlForThisFile } from "../support/control-under-test.ts";
import { startNodeControl } from "../support/node-control.ts";
import { until } from "../support/until.ts";
import { agentIn, type AgentProcess } from "../support/agent.ts";

// The real daemon, the real control plane, a real restic: what each does when the other, or the power, goes away.

const control = controlForThisFile(startNodeControl);
const admin = openClient(
  () => control().url,
  () => control().adminToken,
);
let root: string;
let agent: AgentProcess;
let binding: Binding;
let host: Host;
let gate: string;
let stopped: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-daemon-"));
  agent = agentIn(root);
  gate = join(root, "hold-the-backup");
  stopped = join(root, "service-is-stopped");
  await mkdir(join(root, "srv"));
  await writeFile(join(root, "srv/letter.txt"), "dear reader");
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
  const enrolled = await agent.cli("enroll", "--url", control().url, "--token", token);
  if (enrolled.code !== 0) throw new Error(enrolled.stderr);
  // The hook stops the service, and then waits as long as the test holds the gate.
  await hook("stop-service", `touch '${stopped}'; while test -e '${gate}'; do sleep 0.1; done`);
  await hook("start-service", `rm -f '${stopped}'`);
  const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: "nas",
    name: "letters",
    request: {
      user: userInfo().username,
      sourceDirectories: [join(root, "srv")],
      hooks: { beforeBackup: ["stop-service"], afterBackup: ["start-service"] },
    },
  });
  const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: "disk",
    provider: "restic",
    location: join(root, "repository"),
    passphrase: { generate: true },
  });
  binding = await admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contract.id,
    repository: repository.id,
    settings: { enable: false, retention: {} },
  });
  agent.start();
  host = await until("the host to be online", async () => {
    const { items } = await admin.ask(page(Host), "GET", "/api/v1/hosts?name=nas");
    return items.find(({ online }) => online);
  });
});

afterAll(async () => {
  await rm(gate, { force: true });
  await agent.kill("SIGTERM");
  await rm(root, { recursive: true, force: true });
});

async function hook(name: string, script: string): Promise<void> {
  const directory = join(root, "etc/holdfast/hooks.d");
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  await writeFile(join(directory, name), `#!/bin/sh -eu\n${script}\n`, { mode: 0o755 });
}

const getRun = (id: string): Promise<Run> => admin.ask(Run, "GET", `/api/v1/runs/${id}`);
const order = (): Promise<Run> => admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`, {});

async function reaches(run: Run, state: Run["state"]): Promise<Run> {
  return await until(`run ${run.id} to be ${state}; the agent said:\n${agent.said()}`, async () => {
    const now = await getRun(run.id);
    return now.state === state && now;
  });
}

/** Orders a run and holds it where the service is stopped. */
async function heldRun(): Promise<Run> {
  await writeFile(gate, "");
  const run = await order();
  await reaches(run, "running");
  await until("the service to be stopped", () => isThere(stopped));
  return run;
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

test("the agent reports the host's facts, and pulls a new assignment at once when poked", async () => {
  const facts = await until("the hooks, which were not there when it enrolled", async () => {
    const { facts: known } = await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`);
    return known?.hooks.length === 2 && known;
  });
  const { clockSkewMs } = await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`);
  expect(Math.abs(clockSkewMs ?? Number.NaN)).toBeLessThan(30_000);
  expect(facts).toMatchObject({ hooks: ["start-service", "stop-service"], runsAs: userInfo().username });
  expect(facts.engines[0]?.provider).toBe("restic");
  await admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, { name: "letters-home" });
  await until("the new name", async () => (await agent.cli("status")).stdout.includes("letters-home: off"), 10);
});

test("an ordered run is done once and reported, and leaves nothing to deliver", async () => {
  const run = await reaches(await order(), "succeeded");
  expect(run).toMatchObject({
    trigger: "order",
    binding: binding.id,
    snapshot: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  const status = await until("delivery", async () => {
    const said = JSON.parse((await agent.cli("status", "--json")).stdout);
    return said.undelivered === 0 && said;
  });
  expect(status.bindings).toMatchObject([{ lastGoodAt: expect.stringMatching(/^20\d\d-/), lateAt: null }]);
  expect((await agent.cli("snapshots", "letters-home")).stdout.trimEnd()).toBe(run.snapshot);
});

test("a running run is cancelled from the control plane, and the service is started again", async () => {
  const run = await heldRun();
  await admin.send("POST", `/api/v1/runs/${run.id}/cancel`, {});
  expect(await reaches(run, "cancelled")).toMatchObject({ failure: { code: "run.cancelled" } });
  expect(await isThere(stopped)).toBe(false);
});

test("an agent told to stop cancels its run, reports it, and exits", async () => {
  const run = await heldRun();
  await agent.kill("SIGTERM");
  expect(await isThere(stopped)).toBe(false);
  expect((await getRun(run.id)).finishedAt).not.toBeNull();
  agent.start();
});

test("an agent that is killed leaves a run that its next start ends, and a service that it starts again", async () => {
  const run = await heldRun();
  await agent.kill("SIGKILL");
  expect(await isThere(stopped)).toBe(true);
  await rm(gate);
  agent.start();
  expect(await reaches(run, "interrupted")).toMatchObject({ failure: { code: "run.interrupted" } });
  expect(await isThere(stopped)).toBe(false);
});

test("an order given while the agent is away is done when it is back", async () => {
  await rm(gate, { force: true });
  await agent.kill("SIGTERM");
  const run = await order();
  agent.start();
  expect(await reaches(run, "succeeded")).toMatchObject({ trigger: "order" });
});

test("a manual run appears in the control plane, and can be cancelled from there", async () => {
  await writeFile(gate, "");
  const outcome = agent.cli("backup", "letters-home");
  const run = await until("the run by hand", async () => {
    const { items } = await admin.ask(page(Run), "GET", `/api/v1/runs?binding=${binding.id}`);
    return items.find(({ trigger, state }) => trigger === "manual" && state === "running");
  });
  await admin.send("POST", `/api/v1/runs/${run.id}/cancel`, {});
  expect(await outcome).toMatchObject({ code: 4, stdout: expect.stringContaining("cancelled") });
  await reaches(run, "cancelled");
  await rm(gate);
});

test("a revoked host loses its socket and logs the reason", async () => {
  await admin.ask(z.unknown(), "PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  await until("the agent to say so", () => agent.said().includes("the control plane has revoked this host"));
  const doctor = await agent.cli("doctor");
  expect(doctor).toMatchObject({ code: 1, stdout: expect.stringContaining("it has revoked this host: enrol again") });
});

test("enrolled again it is a new host, and the running agent continues as that host", async () => {
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas-again" });
  expect(await agent.cli("enroll", "--url", control().url, "--token", token)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("is now host nas-again of"),
  });
  const again = await until("the new host to be online", async () => {
    const { items } = await admin.ask(page(Host), "GET", "/api/v1/hosts?name=nas-again");
    return items.find(({ online }) => online);
  });
  expect(again.id).not.toBe(host.id);
  expect(JSON.parse((await agent.cli("status", "--json")).stdout)).toMatchObject({ undelivered: 0 });
});

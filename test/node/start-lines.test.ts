import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readConfig } from "../../control/runtime/node/config.ts";
import { markRecoveryKeyTaken } from "../../control/runtime/node/recovery-key.ts";
import { type Started, startLines } from "../../control/cli/start-lines.ts";
import { Settings } from "../../shared/binding.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { Maintenance } from "../../shared/repository.ts";
import { resultOf } from "../../shared/result.ts";

const id = uuidv7(0, new Uint8Array(10));
const at = "2026-11-23T08:00:00.000Z";
const started: Started = {
  config: readConfig({ HOLDFAST_DATA: "/srv/data" }),
  url: "https://backup.example.org",
  token: { token: "hft_x", file: "/srv/data/token" },
  host: {
    id,
    name: "nas",
    facts: null,
    declarationFaults: [],
    revision: 1,
    labels: [],
    online: true,
    connectedAt: at,
    lastSeenAt: at,
    offlineAfterSeconds: 900,
    clockSkewMs: null,
    instances: null,
    revokedAt: null,
    createdAt: at,
  },
  first: {
    binding: {
      id,
      name: "control-plane-local",
      host: id,
      contract: id,
      repository: id,
      settings: Settings.parse({}),
      labels: [],
      paused: false,
      declared: false,
      undeclaredAt: null,
      health: "failing",
      lateAt: null,
      lastSuccessAt: null,
      nextRunAt: at,
      result: resultOf("control-plane-local"),
      createdAt: at,
      changedAt: at,
    },
    repository: {
      id,
      name: "local",
      provider: "restic",
      location: "/srv/data/repository",
      passphrase: { generate: true },
      secrets: {},
      ssh: { identityFile: null, hostKey: null },
      caFile: null,
      appendOnly: false,
      maintenance: Maintenance.parse({}),
      maintainer: null,
      declared: false,
      undeclaredAt: null,
      existing: false,
      engineId: null,
      createdAt: at,
      changedAt: at,
    },
  },
  snapshot: null,
  failed: null,
  hasAgentFiles: true,
  command: " echo 'HOLDFAST_ENROLL_TOKEN=hfe.x; …' | sudo sh",
};

test("a reachable address needs no advice", async () => {
  expect(await startLines(started)).not.toContain("HOLDFAST_HOST=0.0.0.0");
  expect(await startLines({ ...started, url: "http://127.0.0.1:7676" })).toContain("HOLDFAST_HOST=0.0.0.0");
});

test("a missing restic is reported, with the command to install it", async () => {
  const failure = {
    code: "engine.missing" as const,
    message: "restic is not installed on this host",
    next: "Install restic.",
  };
  const failed = {
    id,
    host: id,
    binding: id,
    repository: id,
    kind: "backup" as const,
    trigger: "order" as const,
    state: "failed" as const,
    scheduledAt: null,
    queuedAt: at,
    startedAt: at,
    finishedAt: at,
    snapshot: null,
    failure,
    warnings: [],
    stats: null,
    plan: null,
    items: null,
    progress: null,
  };
  const text = await startLines({ ...started, failed });
  expect(text).toContain("FAILED");
  expect(text).toContain(failure.message);
  expect(text).toContain("sudo apt-get install restic");
});

test("a database on a server is not backed up by Holdfast", async () => {
  const config = readConfig({ HOLDFAST_DATA: "/srv/data", HOLDFAST_DATABASE_URL: "https://db.example.org" });
  expect(await startLines({ ...started, config, first: null })).toContain("https://db.example.org");
});

test("without an agent package the output says how to build it", async () => {
  expect(await startLines({ ...started, hasAgentFiles: false })).toContain("npm run package");
  const text = await startLines(started);
  expect(text).not.toContain("npm run package");
  // A line of its own, so that the space it begins with is copied with it.
  expect(text.split("\n")).toContain(started.command);
});

test("the output reminds of the recovery key until it was printed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-lines-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const secrets = join(directory, "agent/var/lib/holdfast/secrets");
  await mkdir(secrets, { recursive: true });
  await writeFile(join(secrets, id), "passphrase\n");
  const here = { ...started, config: readConfig({ HOLDFAST_DATA: directory }) };
  for (const _twice of [1, 2]) expect(await startLines(here)).toContain("npx holdfast recovery-key");
  await markRecoveryKeyTaken(directory);
  expect(await startLines(here)).not.toContain("recovery-key");
});

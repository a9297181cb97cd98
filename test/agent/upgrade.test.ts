import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadAssignment } from "../../agent/link/assignments.ts";
import { agentPaths, type Paths } from "../../agent/config.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { configOf, makeSigner, newId } from "./signer.ts";

const at = "2026-11-20T08:00:00.000Z";

async function oldHost(): Promise<Paths> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-upgrade-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return agentPaths(root);
}

test("the assignment that version 0.1.0 has stored still holds after the upgrade, without the control plane", async () => {
  const paths = await oldHost();
  const signer = await makeSigner();
  const config = configOf(signer);
  const [contract, repository, binding] = [newId(), newId(), newId()];
  const request = { user: "root", sourceDirectories: ["/srv"], excludePatterns: [] };
  const old = {
    protocol: 1,
    host: config.host,
    revision: 7,
    issuedAt: at,
    contracts: [
      {
        id: contract,
        name: "photos",
        kind: "files",
        request: { ...request, hooks: { beforeBackup: [], afterBackup: [] } },
      },
    ],
    repositories: [
      {
        id: repository,
        name: "disk",
        provider: "restic",
        location: "/backup",
        passphrase: { generate: true },
        secrets: {},
        existing: false,
        engineId: null,
      },
    ],
    bindings: [
      {
        id: binding,
        name: "photos-disk",
        contract,
        repository,
        paused: false,
        settings: {
          enable: true,
          timerConfig: { OnCalendar: "03:00", RandomizedDelaySec: "5m", Persistent: true },
          zone: null,
          retention: {},
          limitUploadKiBs: null,
          limitDownloadKiBs: null,
          hookTimeLimit: "10m",
          runTimeLimit: "24h",
        },
      },
    ],
  };
  await mkdir(dirname(paths.assignmentFile), { recursive: true });
  await writeFile(paths.assignmentFile, await signer.sign(old, JWS_TYPES.assignment));
  const lines: string[] = [];
  const loaded = await loadAssignment({ paths, config, clock: Date, log: (line) => lines.push(line) });
  expect(lines).toEqual([]);
  expect(loaded).toMatchObject({
    revision: 7,
    contracts: [{ request, consistency: [] }],
    repositories: [{ provider: "restic", appendOnly: false, maintains: false }],
    bindings: [{ settings: { performance: { niceness: 15, ioPriority: 7 } } }],
  });
});

test("a report that version 0.1.0 could not deliver is delivered after the upgrade", async () => {
  const paths = await oldHost();
  const run = {
    id: newId(),
    binding: newId(),
    kind: "backup",
    trigger: "schedule",
    state: "succeeded",
    scheduledAt: at,
    queuedAt: null,
    startedAt: at,
    finishedAt: at,
    snapshot: null,
    failure: null,
    warnings: [],
    stats: null,
  };
  const report = { type: "run", sequence: 2, run, log: "", engineId: null, snapshots: null };
  await mkdir(paths.spoolDir, { recursive: true });
  await writeFile(join(paths.spoolDir, `${run.id}.json`), JSON.stringify({ report, owner: null, after: null }));
  expect(await openSpool(paths).list()).toMatchObject([
    { report: { run: { id: run.id, repository: null }, suspicious: null } },
  ]);
});

import { join } from "node:path";
import { SecretName } from "../../../shared/secret-source.ts";
import type { Recorder } from "./recorder.ts";

export interface Ids {
  readonly host: string;
  readonly contract: string;
  readonly repository: string;
  readonly binding: string;
}

const SHA = { repository: "a".repeat(64), old: "1".repeat(64), older: "2".repeat(64), made: "3".repeat(64) };

interface TemplateInput {
  readonly root: string;
  readonly ids: Ids;
  readonly isBorg: boolean;
  readonly isDump: boolean;
  readonly location: string;
  readonly user: string;
}

/** An assignment with a text in every place that takes one. */
export function templateOf({ root, ids, isBorg, isDump, location, user }: TemplateInput): unknown {
  const server = { user, role: "me", socket: "/run/server", port: 5000 };
  const request = {
    user,
    sourceDirectories: [join(root, "data/one"), join(root, "data/two")],
    excludePatterns: ["*.tmp", "/srv/**/cache"],
    hooks: { beforeBackup: ["a-hook"], afterBackup: ["a-hook"] },
  };
  const known = { id: ids.contract, name: "files", declared: false };
  const contract = isDump
    ? {
        ...known,
        kind: "databasebackup",
        request: { user, backupName: "dump", backupCmd: "a-hook", restoreCmd: "a-hook" },
        restoreUser: user,
      }
    : {
        ...known,
        kind: "files",
        request,
        consistency: [
          { postgres: "one", ...server },
          { postgres: "*", ...server, container: "db" },
          { mariadb: "one", ...server },
          { mariadb: "*", ...server, container: "db" },
          { stop: "a.service" },
          { pause: "app" },
        ],
        mountPoints: ["/proc"],
        stopForRestore: ["b.service"],
      };
  const secrets = Object.fromEntries(
    SecretName.options.map((name) => [name, { file: join(root, "data/secrets", name) }]),
  );
  return {
    protocol: 1,
    host: ids.host,
    revision: 1,
    issuedAt: "2026-11-23T08:00:00.000Z",
    contracts: [contract],
    repositories: [
      {
        id: ids.repository,
        name: "nas",
        provider: isBorg ? "borg" : "restic",
        location,
        passphrase: { file: join(root, "data/passphrase") },
        secrets,
        ssh: { identityFile: "/root/.ssh/id", hostKey: `ssh-ed25519 ${"A".repeat(68)}` },
        caFile: "/etc/ssl/nas.pem",
        appendOnly: false,
        maintenance: {
          prune: { timerConfig: TIMER },
          check: { timerConfig: TIMER },
          zone: "UTC",
          access: {
            location,
            passphrase: { file: join(root, "data/passphrase") },
            secrets,
            ssh: { identityFile: "/root/.ssh/id", hostKey: `ssh-ed25519 ${"A".repeat(68)}` },
          },
        },
        maintains: true,
        existing: false,
        engineId: SHA.repository,
      },
    ],
    bindings: [
      {
        id: ids.binding,
        name: "files-nas",
        contract: ids.contract,
        repository: ids.repository,
        paused: false,
        settings: {
          timerConfig: TIMER,
          zone: "UTC",
          retention: { keep_last: 1, ...SPANS, ...(isBorg ? {} : { keep_tag: ["yearly"] }) },
          limitUploadKiBs: 1000,
          limitDownloadKiBs: 1000,
          alerts: { grace: "1h" },
          pings: [{ kind: "healthchecks", url: "https://hc.example/ping" }],
          hookTimeLimit: "10m",
          runTimeLimit: "24h",
          environment: { HOOK_SECRET: { file: join(root, "data/secrets/HOOK_SECRET") } },
        },
      },
    ],
  };
}

/** What the engines say: of a repository with two snapshots, and a third once a backup was made. */
export async function answerAll(recorder: Recorder, root: string, ids: Ids): Promise<void> {
  const data = join(root, "data");
  const snapshot = (id: string, time: string) => ({ id, time, paths: [join(data, "one")] });
  const old = [snapshot(SHA.older, "2020-01-01T00:00:00Z"), snapshot(SHA.old, "2021-01-01T00:00:00Z")];
  const node = (path: string, type: string) => ({
    struct_type: "node",
    path,
    type,
    size: 4,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: "2020-01-01T00:00:00Z",
  });
  const said: Record<string, unknown[]> = {
    "restic-cat": [{ id: SHA.repository }],
    "restic-before": [old],
    "restic-after": [[...old, snapshot(SHA.made, "2099-01-01T00:00:00Z")]],
    "restic-backup": [{ message_type: "summary", snapshot_id: SHA.made, total_files_processed: 1 }],
    "restic-ls": [node(data, "dir"), node(join(data, "file"), "file")],
    "borg-create": [{ archive: { stats: { nfiles: 1, original_size: 1, deduplicated_size: 1 } } }],
  };
  for (const [name, lines] of Object.entries(said)) {
    await recorder.answer(name, lines.map((line) => JSON.stringify(line)).join("\n"));
  }
  await recorder.answer("restic-check", "no errors were found");
  await recorder.answer("restic-prune", "total prune: 0 B");
  const archives = [
    { id: SHA.old, name: `${ids.host}-${ids.binding}-2021-01-01T00:00:00.000Z`, start: "2021-01-01T00:00:00.000000" },
    { id: SHA.older, name: `${ids.host}-${ids.binding}-2020-01-01T00:00:00.000Z`, start: "2020-01-01T00:00:00.000000" },
  ];
  const listing = JSON.stringify({ repository: { id: SHA.repository }, archives });
  await recorder.answer("borg-list-begin", listing.slice(0, -2));
}

const TIMER = {
  OnCalendar: ["daily"],
  RandomizedDelaySec: "1h",
  AccuracySec: "1m",
  OnBootSec: ["10m"],
  OnUnitActiveSec: ["1h"],
  OnUnitInactiveSec: ["1h"],
};

const SPANS = {
  keep_within: "1d",
  keep_within_hourly: "1d",
  keep_within_daily: "1m",
  keep_within_weekly: "1m",
  keep_within_monthly: "1y",
  keep_within_yearly: "10y",
};

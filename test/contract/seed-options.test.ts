import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import { type ContractFile, readContract } from "../../agent/declared/contract-file.ts";

// docs/reference/seed-options.md says of every option of Self Host Blocks' providers what becomes of it. Here each is
// given to the reader of contracts.d, and does what its row says.

const root = join(import.meta.dirname, "../..");
const Names = z.record(z.enum(["restic", "borgbackup"]), z.array(z.string()));
const names = Names.parse(JSON.parse(readFileSync(join(import.meta.dirname, "seed-options.json"), "utf8")));
const page = readFileSync(join(root, "docs/reference/seed-options.md"), "utf8");
const rows = [...page.matchAll(/^\| `([^`]+)` \| (both|restic|borgbackup) \| (.+) \|$/gm)].map(
  ([, option = "", providers = "", fate = ""]) => ({ option, providers, fate }),
);

const files = { user: "me", sourceDirectories: ["/opt/files/A"] };
const database = { user: "postgres", backupName: "dump", backupCmd: "pg_dumpall", restoreCmd: "psql" };
const place = { passphrase: "/run/secrets/p", repository: { path: "/opt/repos/A" } };

type Given = Record<string, unknown>;

function read(value: Given): ContractFile | string {
  const found = readContract("mytest.json", JSON.stringify(value), "root");
  return found.ok ? found.contract : found.faults.map(({ message }) => message).join("; ");
}

/** What one option gives in a file for either tool, in the place where it stands there. */
function instance(provider: string, settings: Given, more: Given = {}): ContractFile | string {
  const tool = { provider: provider === "restic" ? "restic" : "borg" };
  return read({ request: files, settings: { ...tool, ...place, ...settings }, ...more });
}

const inRepository = (more: Given) => ({ repository: { ...place.repository, ...more } });
const settingsOf = (settings: object) => ({ bound: { settings } });
const repositoryOf = (repository: object) => ({ bound: { repository } });

type Case = [word: "taken" | "mapped" | "refused", what: (provider: string) => ContractFile | string, is: unknown];

const secret = { source: "/run/secrets/x", transform: null };
const secretFile = { file: "/run/secrets/x" };

/** For each option its values: the word of its row, and what is made of it (a fault is its message). */
const CASES: Record<string, Case[]> = {
  enable: [
    ["mapped", (tool) => instance(tool, { enable: false }), settingsOf({ enable: false })],
    ["mapped", (tool) => instance(tool, {}), settingsOf({ enable: true })],
  ],
  "instances.<name>.request": [
    ["taken", () => read({ request: files }), { body: { kind: "files", request: files } }],
    ["taken", () => read({ request: { ...files, user: "" } }), { body: { request: { user: "root" } } }],
    ["taken", () => read({ request: { ...files, user: "1000" } }), { body: { request: { user: "1000" } } }],
  ],
  "instances.<name>.result": [
    ["taken", () => read({ request: files, result: { restoreScript: "r", backupService: "b.service" } }), {}],
  ],
  "databases.<name>.request": [
    ["taken", () => read({ request: database }), { body: { kind: "databasebackup", request: database } }],
    [
      "taken",
      () => read({ request: { ...database, backupName: "my dump (1).sql" } }),
      { body: { request: { backupName: "my dump (1).sql" } } },
    ],
    ["refused", () => read({ request: { ...database, backupName: "../x" } }), "without a directory"],
  ],
  "databases.<name>.result": [["taken", () => read({ request: database, result: {} }), {}]],
  "settings.passphrase": [
    [
      "taken",
      (tool) =>
        instance(tool, {
          passphrase: {
            request: { mode: "0400", owner: "me", group: "root", restartUnits: ["restic-backups-x.service"] },
            result: { path: "/run/secrets/p" },
          },
        }),
      repositoryOf({ passphrase: { file: "/run/secrets/p" } }),
    ],
    ["taken", (tool) => instance(tool, {}), repositoryOf({ passphrase: { file: "/run/secrets/p" } })],
  ],
  "settings.repository.path": [["taken", (tool) => instance(tool, {}), repositoryOf({ location: "/opt/repos/A" })]],
  "settings.repository.secrets.<NAME>": [
    [
      "mapped",
      (tool) => instance(tool, inRepository({ secrets: { AWS_ACCESS_KEY_ID: secret, A: secret } })),
      {
        bound: {
          repository: { secrets: { AWS_ACCESS_KEY_ID: secretFile } },
          settings: { environment: { A: secretFile } },
        },
      },
    ],
    ["refused", (tool) => instance(tool, inRepository({ secrets: { A: { ...secret, transform: "x" } } })), "transform"],
    ["refused", (tool) => instance(tool, inRepository({ secrets: { BORG_RSH: secret } })), "ssh.identityFile"],
    ["refused", (tool) => instance(tool, inRepository({ secrets: { RCLONE_CONFIG: secret } })), "rclone.conf"],
    ["refused", (tool) => instance(tool, inRepository({ secrets: { PATH: secret } })), "changes how programs run"],
  ],
  "settings.repository.timerConfig": [
    [
      "mapped",
      (tool) => instance(tool, inRepository({ timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h" } })),
      settingsOf({ timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h", Persistent: true } }),
    ],
    [
      "mapped",
      (tool) =>
        instance(tool, inRepository({ timerConfig: { OnBootSec: 900, OnUnitActiveSec: "6h", AccuracySec: "1us" } })),
      settingsOf({ timerConfig: { OnCalendar: [], OnBootSec: "900s", OnUnitActiveSec: "6h", AccuracySec: "1us" } }),
    ],
    ["refused", (tool) => instance(tool, inRepository({ timerConfig: { WakeSystem: true } })), "WakeSystem"],
    ["refused", (tool) => instance(tool, inRepository({ timerConfig: { Unit: "x.service" } })), "timerConfig.Unit"],
  ],
  "settings.retention": [
    [
      "mapped",
      (tool) => instance(tool, { retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7 } }),
      settingsOf({ retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7 } }),
    ],
    [
      "mapped",
      (tool) => instance(tool, { retention: { within: "1d", hourly: 24, daily: 7 } }),
      settingsOf({ retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7 } }),
    ],
    [
      "mapped",
      (tool) => instance(tool, { retention: { keep_within_daily: "1m", "3monthly": 4, minutely: 5, keep_yearly: -1 } }),
      settingsOf({
        retention: { keep_within_daily: "1m", keep_quarterly: 4, keep_minutely: 5, keep_yearly: -1 },
      }),
    ],
    ["refused", (tool) => instance(tool, { retention: { "13weekly": 4 } }), "three months of the calendar"],
  ],
  "settings.consistency": [
    ["taken", (tool) => instance(tool, { consistency: {} }), {}],
    [
      "refused",
      (tool) => instance(tool, { consistency: { repository: "2 weeks", archives: "1 month" } }),
      "repository.maintenance.check.timerConfig",
    ],
  ],
  "settings.limitUploadKiBs": [
    ["taken", (tool) => instance(tool, { limitUploadKiBs: 500 }), settingsOf({ limitUploadKiBs: 500 })],
    ["taken", (tool) => instance(tool, { limitUploadKiBs: 0 }), settingsOf({ limitUploadKiBs: null })],
    ["taken", (tool) => instance(tool, { limitUploadKiBs: null }), settingsOf({ limitUploadKiBs: null })],
  ],
  "settings.limitDownloadKiBs": [
    ["taken", (tool) => instance(tool, { limitDownloadKiBs: 500 }), settingsOf({ limitDownloadKiBs: 500 })],
    ["taken", (tool) => instance(tool, { limitDownloadKiBs: 0 }), settingsOf({ limitDownloadKiBs: null })],
  ],
  "settings.stateDir": [
    ["taken", (tool) => instance(tool, { stateDir: null }), {}],
    ["refused", (tool) => instance(tool, { stateDir: "/var/lib/borgbackup" }), "must be left out"],
  ],
  "performance.niceness": [
    [
      "mapped",
      (tool) => instance(tool, { performance: { niceness: 19 } }),
      settingsOf({ performance: { niceness: 19 } }),
    ],
    ["refused", (tool) => instance(tool, {}, { performance: { niceness: 19 } }), "belongs into settings"],
  ],
  "performance.ioSchedulingClass": [
    [
      "mapped",
      (tool) => instance(tool, { performance: { ioSchedulingClass: "idle" } }),
      settingsOf({ performance: { ioSchedulingClass: "idle" } }),
    ],
  ],
  "performance.ioPriority": [
    [
      "mapped",
      (tool) => instance(tool, { performance: { ioPriority: null } }),
      settingsOf({ performance: { ioPriority: null } }),
    ],
  ],
  enableDashboard: [["refused", (tool) => instance(tool, {}, { enableDashboard: true }), "nothing to switch on"]],
  borgServer: [["refused", (tool) => instance(tool, {}, { borgServer: false }), "serves no repositories"]],
};

test("the table has every option of both providers, and no other", () => {
  const all = names.restic.filter((name) => names.borgbackup.includes(name));
  // The seed's borg instances have results too: they are made by the contract.
  const both = [...all, "instances.<name>.result", "databases.<name>.result"];
  const wanted = [...new Set([...names.restic, ...names.borgbackup])].map((option) => {
    const only = names.restic.includes(option) ? "restic" : "borgbackup";
    return `${option} ${both.includes(option) ? "both" : only}`;
  });
  expect(rows.map(({ option, providers }) => `${option} ${providers}`).toSorted()).toEqual(wanted.toSorted());
  expect(Object.keys(CASES).toSorted()).toEqual(rows.map(({ option }) => option).toSorted());
});

// The facts lie beside the project where it is built; a clone has only the names.
const facts = join(root, "../shared/facts/seed-options.json");
test.runIf(existsSync(facts))("the names are those of the facts", () => {
  const { restic, borgbackup } = z
    .object({ restic: z.record(z.string(), z.string()), borgbackup: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(facts, "utf8")));
  expect(names).toEqual({ restic: Object.keys(restic), borgbackup: Object.keys(borgbackup) });
});

test.each(rows)("$option: $providers", ({ option, providers, fate }) => {
  for (const provider of providers === "both" ? ["restic", "borgbackup"] : [providers]) {
    for (const [word, give, is] of CASES[option] ?? []) {
      expect(fate.toLowerCase(), `the row of ${option} says "${word}"`).toContain(word);
      const given = give(provider);
      if (typeof is === "string") expect(given).toEqual(expect.stringContaining(is));
      else expect(given).toMatchObject(is as object);
      expect(typeof given === "string").toBe(word === "refused");
    }
  }
});

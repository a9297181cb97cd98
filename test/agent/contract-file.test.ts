import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { type ContractFile, readContract } from "../../agent/declared/contract-file.ts";

// One file of contracts.d, as `builtins.toJSON` writes it for a request of Self Host Blocks, and by hand.

/** What Self Host Blocks at bc3234e gave, evaluated by Nix 2.8 on nixpkgs' library, through builtins.toJSON. */
const seed = z
  .record(z.string(), z.unknown())
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, "seed-requests.json"), "utf8")));

const request = {
  user: "vaultwarden",
  sourceDirectories: ["/var/lib/vaultwarden"],
  excludePatterns: [],
  hooks: { beforeBackup: [], afterBackup: [] },
};
const place = { passphrase: "/run/secrets/passphrase", repository: { path: "/srv/backup" } };

function read(value: unknown, file = "vaultwarden.json"): ContractFile {
  const found = readContract(file, JSON.stringify(value), "root");
  if (!found.ok) throw new Error(JSON.stringify(found.faults));
  return found.contract;
}

function faultOf(value: unknown, file = "vaultwarden.json"): string {
  const found = readContract(file, typeof value === "string" ? value : JSON.stringify(value), "root");
  if (found.ok) throw new Error("it was taken");
  return found.faults.map(({ message }) => message).join("; ");
}

describe("a file of contracts.d", () => {
  it("may be only a request of files, and then has the file's name", () => {
    expect(read(request)).toEqual({
      file: "vaultwarden.json",
      name: "vaultwarden",
      body: { kind: "files", request, consistency: [], mountPoints: [], stopForRestore: [] },
      bound: null,
    });
  });

  it("may be only a request of a database", () => {
    const database = { user: "postgres", backupName: "postgres.sql", backupCmd: "pg_dumpall", restoreCmd: "psql" };
    expect(read(database, "pg.json")).toMatchObject({
      name: "pg",
      body: { kind: "databasebackup", request: database },
    });
    expect(read({ backupCmd: "pg_dumpall", restoreCmd: "psql" }).body.request).toMatchObject({
      user: "root",
      backupName: "dump",
    });
  });

  it.each(Object.entries(seed))("is what the seed's own modules give for %s", (what, given) => {
    const { body, bound } = read(given);
    expect(body.kind).toBe(/database/.test(what) ? "databasebackup" : "files");
    expect(body.request.user).toBe(
      what.endsWith("nothing set") ? "root" : /database/.test(what) ? "postgres" : "vaultwarden",
    );
    if (!/instances|databases/.test(what)) return expect(bound).toBeNull();
    expect(bound).toMatchObject({
      repository: { provider: what.startsWith("borg") ? "borg" : "restic", passphrase: { file: "/run/secrets/p" } },
      settings: {
        enable: true,
        retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7, keep_weekly: 4, keep_monthly: 6 },
        // An instance whose times were set has lost it in the seed.
        timerConfig: { Persistent: true },
      },
    });
  });

  it("with an empty user, the seed's default, has the agent's own user", () => {
    expect(read({ ...request, user: "" }).body.request.user).toBe("root");
    expect(readContract("x.json", JSON.stringify({ ...request, user: "" }), "alice")).toMatchObject({
      contract: { body: { request: { user: "alice" } } },
    });
  });

  it("may have our additional fields beside the request, and ignores the seed's result", () => {
    const more = {
      consistency: [{ sqlite: "/var/lib/vaultwarden/db.sqlite3" }],
      mountPoints: ["/var"],
      stopForRestore: ["vaultwarden.service"],
    };
    const result = { restoreScript: "restore", backupService: "backup.service" };
    expect(read({ name: "passwords", request, result, ...more })).toMatchObject({ name: "passwords", body: more });
  });

  it.each([
    ["Home Assistant (β).json", "home-assistant-"],
    ["_x.json", "x"],
    [`${"long".repeat(20)}.json`, "long".repeat(20).slice(0, 63)],
  ])("called %j makes the name %j of it", (file, name) => {
    expect(read(request, file).name).toBe(name);
  });

  it("binds it with the settings of the seed's restic instance", () => {
    const settings = {
      enable: true,
      passphrase: { request: { mode: "0400", owner: "root" }, result: { path: "/run/secrets/passphrase" } },
      repository: {
        path: "s3:s3.example.org/backups",
        secrets: { AWS_ACCESS_KEY_ID: { source: "/run/secrets/id" }, AWS_SECRET_ACCESS_KEY: "/run/secrets/key" },
        timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h" },
      },
      retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7, keep_weekly: 4, keep_monthly: 6 },
      limitUploadKiBs: 500,
      limitDownloadKiBs: null,
    };
    expect(read({ request, settings }).bound).toMatchObject({
      repository: {
        provider: "restic",
        location: "s3:s3.example.org/backups",
        passphrase: { file: "/run/secrets/passphrase" },
        secrets: {
          AWS_ACCESS_KEY_ID: { file: "/run/secrets/id" },
          AWS_SECRET_ACCESS_KEY: { file: "/run/secrets/key" },
        },
      },
      settings: {
        enable: true,
        // Persistent is not given up by saying when, as it is in the seed.
        timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h", Persistent: true },
        retention: settings.retention,
        limitUploadKiBs: 500,
        limitDownloadKiBs: null,
      },
    });
  });

  it("binds it with the settings of the seed's borg instance, in borg's own terms", () => {
    const settings = {
      provider: "borg",
      enable: false,
      consistency: {},
      stateDir: null,
      limitUploadKiBs: null,
      passphrase: { file: "/run/secrets/passphrase" },
      repository: { path: "ssh://backup@nas/srv/borg", timerConfig: { RandomizedDelaySec: 300, Persistent: "no" } },
      retention: { within: "36H", hourly: 24, daily: "7", keep_weekly: 4, monthly: null },
    };
    expect(read({ request, settings }).bound).toMatchObject({
      repository: { provider: "borg", location: "ssh://backup@nas/srv/borg" },
      settings: {
        enable: false,
        timerConfig: { OnCalendar: "daily", RandomizedDelaySec: "300s", Persistent: false },
        retention: { keep_within: "36h", keep_hourly: 24, keep_daily: 7, keep_weekly: 4 },
      },
    });
    expect(read({ request, settings: { ...place, retention: { within: "2w" } } }).bound?.settings.retention).toEqual({
      keep_within: "14d",
    });
  });

  it("takes the words of systemd's timers and of both tools' retention", () => {
    const timerConfig = {
      OnCalendar: ["Mon 03:00", "Thu 03:00"],
      OnBootSec: 900,
      OnUnitActiveSec: ["12h", 86_400],
      OnUnitInactiveSec: null,
      AccuracySec: "1us",
      FixedRandomDelay: "Off",
      WakeSystem: "no",
      RemainAfterElapse: true,
    };
    const repository = { path: "/srv/backup", timerConfig };
    const bound = (settings: object) => read({ request, settings: { ...place, ...settings } }).bound?.settings;
    expect(bound({ repository })?.timerConfig).toEqual({
      OnCalendar: ["Mon 03:00", "Thu 03:00"],
      OnBootSec: "900s",
      OnUnitActiveSec: ["12h", "86400s"],
      AccuracySec: "1us",
      RandomizedDelaySec: "5m",
      FixedRandomDelay: false,
      Persistent: true,
    });
    // Only what counts from an event: there is no calendar then.
    expect(bound({ repository: { path: "/x", timerConfig: { OnUnitActiveSec: "6h" } } })?.timerConfig).toMatchObject({
      OnCalendar: [],
      OnUnitActiveSec: "6h",
    });
    const borgs = { secondly: 1, minutely: "2", "3monthly": 4, last: 3, yearly: -1, within: "2w" };
    expect(bound({ provider: "borg", retention: borgs })?.retention).toEqual({
      keep_secondly: 1,
      keep_minutely: 2,
      keep_quarterly: 4,
      keep_last: 3,
      keep_yearly: -1,
      keep_within: "14d",
    });
    const restics = { keep_within_daily: "1m", "keep-within-yearly": "2y", keep_yearly: "unlimited", keep_tag: "keep" };
    expect(bound({ retention: restics })?.retention).toEqual({
      keep_within_daily: "1m",
      keep_within_yearly: "2y",
      keep_yearly: -1,
      keep_tag: ["keep"],
    });
  });

  it.each([
    ["WakeSystem", true, "a host is never woken from sleep"],
    ["OnActiveSec", "1h", "write OnBootSec"],
    ["OnStartupSec", "1h", "write OnBootSec"],
    ["OnClockChange", "yes", "a clock that is set starts no backup"],
    ["OnTimezoneChange", true, "another time zone starts no backup"],
    ["RandomizedOffsetSec", "1h", "write RandomizedDelaySec"],
    ["DeferReactivation", true, "starts once, right after it"],
    ["RemainAfterElapse", false, "stays for as long as its binding"],
    ["Unit", "x.service", "starts its own binding's backup"],
    ["OnUnitActiveSec", "30s", "must be at least a minute"],
    ["OnUnitInactiveSec", 0, "must be at least a minute"],
    ["OnBootSec", [], "must have at least one"],
    ["OnCalendar", [], "must have at least one expression, unless OnBootSec"],
    ["OnCalender", "daily", "there is no such key here"],
  ])("with timerConfig.%s = %j says why not", (key, given, reason) => {
    const fault = faultOf({
      request,
      settings: { ...place, repository: { path: "/x", timerConfig: { [key]: given } } },
    });
    expect(fault).toContain(`settings.repository.timerConfig.${key}: `);
    expect(fault).toContain(reason);
  });

  it.each([
    ["restic", { keep_tag: ["a", "holdfast:x"] }, "keep_tag.1: must not be Holdfast's own tag"],
    ["restic", { keep_daily: -2 }, "keep_daily: must be 0 or more, or -1 for all"],
    ["borg", { keep_tag: ["a"] }, "keep_tag: borg 1 has no tags: use the other rules"],
    ["borg", { "13weekly": 4 }, "13weekly: a quarter here is three months"],
  ])("of %s with the retention %j says why not", (provider, retention, reason) => {
    expect(faultOf({ request, settings: { ...place, provider, retention } })).toContain(`settings.retention.${reason}`);
  });

  it("has our defaults for missing settings, and keeps everything with an empty retention", () => {
    expect(read({ request, settings: place }).bound?.settings).toMatchObject({
      enable: true,
      timerConfig: { OnCalendar: "daily", RandomizedDelaySec: "5m", Persistent: true },
      retention: { keep_within: "1d", keep_hourly: 24, keep_daily: 7, keep_weekly: 4, keep_monthly: 6 },
    });
    expect(read({ request, settings: { ...place, retention: {} } }).bound?.settings.retention).toEqual({});
  });

  it.each<[string, unknown, string]>([
    ["not JSON", '{"user": oops}', "is not JSON"],
    ["a list", [request], "is not one JSON object"],
    ["a relative source", { ...request, sourceDirectories: ["srv"] }, "sourceDirectories.0: must be an absolute path"],
    ["no source", { ...request, sourceDirectories: [] }, "sourceDirectories: must name at least one directory"],
    ["a key nobody knows", { request: { ...request, exclude: [] } }, "request.exclude: there is no such key here"],
    ["an odd name", { name: "Two Words", request }, "name: must be 1 to 63 of a-z"],
    ["no name to be had", request, 'name: "ß.json" has nothing a name can be made of'],
    ["a dataset", { dataset: "root/x" }, "dataset: a dataset (datasetbackup) can't be backed up yet: it is planned"],
    ["a restoreUser of files", { request, restoreUser: "me" }, "restoreUser: there is no such key here"],
    ["a restoreUser that is none", { request: { backupCmd: "a", restoreCmd: "b" }, restoreUser: 7 }, "restoreUser: "],
    ["half a database", { backupCmd: "x" }, "restoreCmd: "],
    [
      "files' words for a database",
      { request: { backupCmd: "a", restoreCmd: "b" }, mountPoints: [] },
      "mountPoints: there is",
    ],
    ["no passphrase", { request, settings: { repository: { path: "/x" } } }, "settings.passphrase: must be"],
    ["a passphrase itself", { request, settings: { ...place, passphrase: "hunter2" } }, "settings.passphrase: must be"],
    [
      "an unknown place",
      { request, settings: { ...place, repository: { path: "x" } } },
      "settings.repository.path: must be",
    ],
    [
      "a bad time",
      { request, settings: { ...place, repository: { path: "/x", timerConfig: { OnCalendar: "25:00" } } } },
      "settings.repository.timerConfig.OnCalendar: ",
    ],
    [
      "one rule twice",
      { request, settings: { ...place, retention: { daily: 7, keep_daily: 7 } } },
      "says again what keep_daily says",
    ],
    [
      "a rule nobody has",
      { request, settings: { ...place, retention: { fortnightly: 7 } } },
      "settings.retention.fortnightly: there is no such key",
    ],
    [
      "a secret that is transformed",
      {
        request,
        settings: {
          ...place,
          repository: { path: "/x", secrets: { B2_ACCOUNT_ID: { source: "/s", transform: "x" } } },
        },
      },
      "settings.repository.secrets.B2_ACCOUNT_ID: must be",
    ],
    [
      "a variable that is no credential",
      { request, settings: { ...place, repository: { path: "/x", secrets: { LD_PRELOAD: "/s" } } } },
      "settings.repository.secrets",
    ],
    [
      "a state directory",
      { request, settings: { ...place, stateDir: "/var/lib/borg" } },
      "settings.stateDir: must be left out",
    ],
  ])("with %s is a fault that says where", (what, value, message) => {
    expect(faultOf(value, what === "no name to be had" ? "ß.json" : undefined)).toContain(message);
  });

  it("never quotes a secret that was written into it", () => {
    expect(faultOf({ request, settings: { ...place, passphrase: "hunter2" } })).not.toContain("hunter2");
    expect(faultOf(`{"passphrase":"hunter2" "x"}`)).not.toContain("hunter2");
  });
});

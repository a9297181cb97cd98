import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { agentPaths } from "../../agent/config.ts";
import { unitText } from "../../agent/daemon/units/unit-file.ts";
import { declaredIn, evaluated, type Made, nix } from "./nix.ts";

// The NixOS module, evaluated by a real Nix on a stand-in for nixpkgs' lib: what it writes is read by the agent's own
// reader.

const module = join(import.meta.dirname, "../../agent/nix/module.nix");
const run = promisify(execFile);

let agent: string;
beforeAll(async () => {
  agent = await mkdtemp(join(tmpdir(), "holdfast-nix-"));
  await mkdir(join(agent, "bin"));
  await writeFile(join(agent, "bin/holdfast-agent"), '#!/bin/sh\nprintf "[%s]" "$@"\n', { mode: 0o755 });
});
afterAll(() => rm(agent, { recursive: true, force: true }));

const made = (given: Record<string, unknown>): Promise<Made> => evaluated(given, agent);

const request = { user: "vaultwarden", sourceDirectories: ["/var/lib/vaultwarden"] };
const settings = { passphrase: { result: { path: "/run/secrets/p" } }, repository: { path: "/srv/backup" } };
const instances = { vaultwarden: { request, settings } };

describe("the NixOS module", () => {
  it("parses, and does nothing unless enabled", async () => {
    await nix("--parse", module);
    expect(await made({ enable: false, instances })).toMatchObject({ files: {}, units: {}, installed: [], failed: [] });
  });

  it("provides the backup contract: the agent reads the file correctly, and the requester the result", async () => {
    const hooks = { beforeBackup: ["systemctl stop vaultwarden"], afterBackup: ["systemctl start vaultwarden"] };
    const repository = {
      path: "s3:s3.example.org/backups",
      secrets: { AWS_ACCESS_KEY_ID: { source: "/run/secrets/id" } },
      timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h" },
      appendOnly: true,
    };
    const more = { retention: { keep_daily: 7 }, limitUploadKiBs: 500, performance: { niceness: 19 } };
    const result = await made({
      instances: {
        vaultwarden: {
          request: { ...request, excludePatterns: ["*.tmp"], hooks },
          consistency: [{ sqlite: "/var/lib/vaultwarden/db.sqlite3" }],
          stopForRestore: ["vaultwarden.service"],
          settings: { ...settings, ...more, repository },
        },
      },
    });
    expect(declaredIn(result, "vaultwarden")).toMatchObject({
      ok: true,
      contract: {
        name: "vaultwarden",
        body: {
          request: { ...request, excludePatterns: ["*.tmp"], hooks },
          consistency: [{ sqlite: "/var/lib/vaultwarden/db.sqlite3" }],
          stopForRestore: ["vaultwarden.service"],
        },
        bound: {
          repository: {
            provider: "restic",
            location: repository.path,
            appendOnly: true,
            passphrase: { file: "/run/secrets/p" },
            secrets: { AWS_ACCESS_KEY_ID: { file: "/run/secrets/id" } },
          },
          settings: {
            ...more,
            enable: true,
            performance: { niceness: 19, ioPriority: 7 },
            timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h", Persistent: true },
          },
        },
      },
    });
    expect(result.results).toEqual({
      vaultwarden: {
        restoreScript: "holdfast-backups-vaultwarden",
        backupService: "holdfast-backup@vaultwarden.service",
      },
    });
    expect(result.secrets).toEqual({ vaultwarden: { mode: "0400", owner: "root", group: "root", restartUnits: [] } });
    expect(result.failed).toEqual([]);
  });

  it("provides the databasebackup contract, also with borg, and leaves contracts without settings to the control plane", async () => {
    const dump = { user: "postgres", backupName: "postgres.sql", backupCmd: "pg_dumpall", restoreCmd: "psql" };
    const result = await made({
      instances: { photos: { request: { sourceDirectories: ["/srv/photos"] } } },
      databases: {
        postgres: {
          request: dump,
          restoreUser: "me",
          settings: {
            ...settings,
            provider: "borg",
            passphrase: { generate: true },
            retention: { within: "1d", daily: 7 },
          },
        },
      },
    });
    expect(declaredIn(result, "postgres")).toMatchObject({
      contract: {
        body: { kind: "databasebackup", request: dump, restoreUser: "me" },
        bound: {
          repository: { provider: "borg", passphrase: { generate: true } },
          settings: { retention: { keep_within: "1d", keep_daily: 7 } },
        },
      },
    });
    expect(declaredIn(result, "photos")).toMatchObject({
      contract: { body: { request: { user: "root" } }, bound: null },
    });
    expect(result.installed.map(({ name }) => name)).not.toContain("holdfast-backups-photos");
  });

  it("writes schedules as the agent reads them: numbers are seconds, and what is not given stays usual", async () => {
    const timerConfig = { RandomizedDelaySec: 3600, Persistent: "no", OnUnitActiveSec: [7200, "1d"] };
    const maintenance = {
      prune: { timerConfig: { RandomizedDelaySec: 60 } },
      check: { timerConfig: { OnBootSec: 60 } },
    };
    const given = { ...settings, repository: { ...settings.repository, timerConfig, maintenance } };
    const result = await made({ instances: { vaultwarden: { request, settings: given } } });
    expect(declaredIn(result, "vaultwarden")).toMatchObject({
      contract: {
        bound: {
          repository: {
            maintenance: {
              prune: { enable: true, timerConfig: { OnCalendar: "Sun 03:30", RandomizedDelaySec: "60s" } },
              check: { timerConfig: { OnCalendar: [], OnBootSec: "60s", RandomizedDelaySec: "1h" } },
            },
          },
          settings: {
            timerConfig: { RandomizedDelaySec: "3600s", Persistent: false, OnUnitActiveSec: ["7200s", "1d"] },
          },
        },
      },
    });
  });

  it("installs restore scripts with the seed's interface, for the instance's own binding", async () => {
    const { installed } = await made({ instances });
    const script = join(agent, "script");
    await writeFile(script, installed.find(({ name }) => name === "holdfast-backups-vaultwarden")?.text ?? "");
    const said = async (...words: string[]) =>
      await run("bash", ["-o", "errexit", script, ...words]).then(
        ({ stdout }) => ({ code: 0, stdout }),
        (error: { code: number; stdout: string }) => ({ code: error.code, stdout: error.stdout }),
      );
    expect(await said("snapshots")).toEqual({ code: 0, stdout: "[snapshots][vaultwarden]" });
    expect(await said("backup")).toEqual({ code: 0, stdout: "[backup][vaultwarden]" });
    expect(await said("restore", "4f1c", "--target", "/a b")).toEqual({
      code: 0,
      stdout: "[restore][vaultwarden][4f1c][--target][/a b]",
    });
    expect(await said("exec", "stats", "--json")).toEqual({
      code: 0,
      stdout: "[exec][vaultwarden][--][stats][--json]",
    });
    expect(await said()).toMatchObject({ code: 0, stdout: expect.stringContaining("restore <snapshot>") });
    expect(await said("oops")).toMatchObject({ code: 1, stdout: expect.stringContaining("restore <snapshot>") });
    expect(await said("restore")).toMatchObject({ code: 1, stdout: "" });
  });

  it("runs the agent with the unit of install.sh, and enrols once with a token that is in no argument", async () => {
    const { units } = await made({ url: "https://backup.example.org", tokenFile: "/run/secrets/token" });
    const unit = await readFile(join(module, "../../install/holdfast-agent.service"), "utf8");
    const section = unit.slice(unit.indexOf("[Service]"), unit.indexOf("[Install]"));
    const wanted = [...section.matchAll(/^(\w+)=(.*)$/gm)].map(([, key = "", value = ""]) => [key, value] as const);
    const given = z.record(z.string(), z.unknown()).parse(units["holdfast-agent"]?.["serviceConfig"]);
    const asUnit = (value: unknown): string => (value === true ? "yes" : String(value));
    expect(Object.fromEntries(Object.entries(given).map(([key, value]) => [key, asUnit(value)]))).toEqual({
      ...Object.fromEntries(wanted),
      ExecStart: `${agent}/bin/holdfast-agent run`,
    });
    const enrol = units["holdfast-enroll"];
    expect(enrol).toMatchObject({
      requiredBy: ["holdfast-agent.service"],
      unitConfig: { ConditionPathExists: "!/etc/holdfast/agent.json" },
      serviceConfig: { LoadCredential: "token:/run/secrets/token" },
    });
    expect(enrol?.["script"]).toContain('--token-file "$CREDENTIALS_DIRECTORY/token"');
    const text = unitText({ paths: agentPaths(""), command: [`${agent}/bin/holdfast-agent`], user: "root" });
    const oneLine = (value: unknown): string => String(value).replaceAll(/[\\]?\s+/g, " ");
    const lines = oneLine(text.replaceAll("\\\n", " ").replaceAll("\n", ";;")).split(";;");
    const { serviceConfig } = z
      .object({ serviceConfig: z.record(z.string(), z.unknown()) })
      .parse(units["holdfast-backup@"]);
    for (const [key, value] of Object.entries(serviceConfig)) expect(lines).toContain(`${key}=${oneLine(value)}`);
    expect(Object.keys(serviceConfig)).toHaveLength(
      text.slice(text.indexOf("[Service]")).match(/^\w+=/gm)?.length ?? 0,
    );
  });

  it("copies the policy, because a link to it is not followed", async () => {
    const { files } = await made({ policy: { hooks: "off" } });
    expect(files["holdfast/policy.json"]).toEqual({ text: '{"hooks":"off"}', mode: "0644" });
    const both = await made({ level: "ask", policy: { keep: { snapshots: 5 }, secrets: ["/run/secrets"] } });
    const written = JSON.parse(both.files["holdfast/policy.json"]?.text ?? "null");
    expect(written).toEqual({ level: "ask", keep: { snapshots: 5 }, secrets: ["/run/secrets"] });
    expect((await made({})).files["holdfast/policy.json"]).toBeUndefined();
  });

  it("grants with the enrolment what the configuration names, quoted", async () => {
    const enrolled = { url: "https://backup.example.org", tokenFile: "/run/secrets/token" };
    const grants = { repositories: ["usb"], hooks: ["stop-it"], sources: ["/etc", "/srv/it's mine"] };
    const { units } = await made({ ...enrolled, grants });
    expect(units["holdfast-enroll"]?.["script"]).toContain(
      `--token-file "$CREDENTIALS_DIRECTORY/token" --hook stop-it --repository usb --source /etc --source '/srv/it'\\''s mine'`,
    );
  });

  it("rejects invalid settings before anything is built", async () => {
    const bare = { request, settings: { repository: { path: "/srv" } } };
    const { failed } = await made({
      instances: { "Two Words": { request, settings }, bare, both: { request, settings } },
      databases: { both: { request: { backupCmd: "a", restoreCmd: "b" } } },
      url: "https://backup.example.org",
    });
    expect(failed).toEqual([
      expect.stringContaining('"Two Words" must be 1 to 63 of a-z'),
      expect.stringContaining('"both" is both in instances and in databases'),
      expect.stringContaining('"bare" needs settings.passphrase.result.path'),
      expect.stringContaining("url and tokenFile belong together"),
    ]);
  });
});

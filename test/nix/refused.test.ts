import { describe, expect, it } from "vitest";
import { declaredIn, evaluated } from "./nix.ts";

// What is misspelt or of another type ends the evaluation, with the place of the fault: nothing is built from it.

const INSTANCE = `request.sourceDirectories = [ "/a" ]; settings.passphrase.result.path = "/run/p"; settings.repository.path = "/srv/b";`;

/** `services.holdfast` with one instance called x, and more in it. */
const withX = (more: string): string =>
  `_: { instances.x = { ${INSTANCE} } // (let x = { ${INSTANCE} }; in { ${more} }); }`;

describe("a configuration that can't be meant", () => {
  const settings = (more: string): string => `settings = x.settings // { ${more} };`;
  const place = (more: string): string => settings(`repository = x.settings.repository // { ${more} };`);
  const request = (more: string): string => `request = x.request // { ${more} };`;
  it.each([
    ["settings.retentoin' does not exist", settings("retentoin = { daily = 7; };")],
    ["settings.repository.timerConfig.OnCalender' does not exist", place('timerConfig.OnCalender = "daily";')],
    [
      "settings.repository.maintenance.prune.timerConfig.Wake' does not exist",
      place("maintenance.prune.timerConfig.Wake = 1;"),
    ],
    ["settings.retention.keep_dayly' does not exist", settings("retention.keep_dayly = 7;")],
    ["settings.retention.keep_daily' is not of type", settings('retention.keep_daily = "many";')],
    ["settings.performance.niceness' is not of type", settings("performance.niceness = 20;")],
    ["settings.provider' is not of type", settings('provider = "tar";')],
    ["settings.alerts.failures' is not of type", settings('alerts.failures = "1";')],
    ["settings.repository.secrets.A.path' does not exist", place('secrets.A.path = "/a";')],
    ["settings.repository.secrets.A.source' is not of type", place('secrets.A.source = "run/a";')],
    ["settings.repository.path' was accessed but has no value defined", settings("repository = { };")],
    ["request.sourceDirectories' is not of type", request("sourceDirectories = [ ];")],
    ["request.exclude' does not exist", request("exclude = [ ];")],
    ["result.restoreScript' is read-only", 'result.restoreScript = "mine";'],
    ["stopForRestore' is not of type", "stopForRestore = true;"],
  ])("%s", async (message, more) => {
    await expect(evaluated(withX(more))).rejects.toThrow(`\`services.holdfast.instances.x.${message}`);
  });

  it("is told what is wrong with a secret, before anything is built", async () => {
    const { failed } = await evaluated(`_: {
      instances.x = {
        request.sourceDirectories = [ "/a" ];
        consistency = [ { sqlite = "/a/x.db"; stop = "x.service"; } ];
        settings = {
          passphrase = { generate = true; result.path = /run/p; };
          repository.path = "/srv/b";
          repository.secrets = {
            AWS_ACCESS_KEY_ID = { source = /run/a; transform = text: text; };
            AWS_SECRET_ACCESS_KEY = { };
            AWS_SESSION_TOKEN.source = builtins.storeDir + "/x-secret";
          };
          consistency.repository = "2 weeks";
          environment.TOKEN.source = /nix/store/x-token;
          stateDir = "/var/lib/borg";
        };
      };
      instances.y = { request.sourceDirectories = [ "/a" ]; settings.repository.path = "/srv/b"; };
    }`);
    expect(failed).toEqual([
      expect.stringMatching(/"x" an entry of consistency is one of /),
      expect.stringMatching(/"x" needs settings.passphrase once: result.path, generate or sealed$/),
      expect.stringMatching(
        /"x" has settings.repository.secrets.AWS_ACCESS_KEY_ID.transform: .* has to be done to the file$/,
      ),
      expect.stringMatching(
        /"x" needs settings.repository.secrets.AWS_SECRET_ACCESS_KEY.source, a file on the machine/,
      ),
      expect.stringMatching(
        /"x" has settings.repository.secrets.AWS_SESSION_TOKEN.source = .*: that is in the Nix store/,
      ),
      expect.stringMatching(/"x" has settings.environment.TOKEN.source = .*: that is in the Nix store/),
      expect.stringMatching(
        /"x" has settings.consistency: say when in settings.repository.maintenance.check.timerConfig/,
      ),
      expect.stringMatching(/"x" has settings.stateDir: leave it out/),
      expect.stringMatching(/"y" needs settings.passphrase.result.path, or settings.passphrase.generate = true$/),
    ]);
  });

  it("does not copy a secret that is a path literal: its file may not even be there", async () => {
    const made = await evaluated(`_: {
      instances.x = {
        request.sourceDirectories = [ "/a" ];
        settings = {
          passphrase.result.path = /run/secrets/p;
          environment.TOKEN.source = /run/secrets/token;
          repository = {
            path = "sftp:b@nas:/b";
            secrets.AWS_ACCESS_KEY_ID = { source = /run/secrets/a; transform = null; };
            secrets.A.source = /run/secrets/seed;
            ssh.identityFile = /run/secrets/key;
          };
        };
      };
      tokenFile = /run/secrets/token;
      url = "https://backup.example.org";
      policy.secrets = [ /run/secrets ];
      performance.niceness = 19;
      enableDashboard = false;
    }`);
    expect(made.failed).toEqual([]);
    expect(declaredIn(made, "x")).toMatchObject({
      contract: {
        bound: {
          repository: {
            passphrase: { file: "/run/secrets/p" },
            secrets: { AWS_ACCESS_KEY_ID: { file: "/run/secrets/a" } },
            ssh: { identityFile: "/run/secrets/key" },
          },
          settings: {
            environment: { A: { file: "/run/secrets/seed" }, TOKEN: { file: "/run/secrets/token" } },
            performance: { niceness: 19, ioSchedulingClass: "best-effort", ioPriority: 7 },
          },
        },
      },
    });
    expect(made.units["holdfast-enroll"]).toMatchObject({
      serviceConfig: { LoadCredential: "token:/run/secrets/token" },
    });
    expect(JSON.parse(made.files["holdfast/policy.json"]?.text ?? "")).toEqual({ secrets: ["/run/secrets"] });
    expect(made.warnings).toEqual([
      expect.stringContaining("page of the control plane, at https://backup.example.org"),
    ]);
  });
});

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, lchown, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { putInForce } from "../../agent/in-force/in-force.ts";
import { askForHook, askForRepository, asksOfEnvironment } from "../../agent/policy/asks.ts";
import { recipientOfHost } from "../../agent/policy/age-key.ts";
import { recordGrants } from "../../agent/policy/grants.ts";
import { loadPolicy } from "../../agent/policy/policy.ts";
import { readSecrets } from "../../agent/policy/secrets.ts";
import { secretPlaceFault } from "../../agent/policy/secret-place.ts";
import { readWaiting } from "../../agent/policy/waiting.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { environmentNameFault } from "../../shared/environment.ts";
import { sealSecret } from "../../shared/sealed-secret.ts";
import { type EngineHost, textOf, type Wanted } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";
import { numbersOf } from "../contract/seed-accounts.ts";

// Secrets of hooks are read by root. What the control plane names is given to a hook once root has said yes to it, to
// whatever runs as that user, and to nothing else.

const WAITS = { state: "failed", snapshot: null, failure: { code: "policy.approval_needed" } };
const SECRET = "canary-of-a-hook-7f3a";

let host: EngineHost;
let file: string;
const out = (): string => join(host.root, "out/said");

beforeEach(async () => {
  host = await openReadyHost();
  await rm(host.paths.policyJson);
  await host.write("data/letter", "dear reader");
  file = await host.write("etc/holdfast/secrets/token", `${SECRET}\n`);
  await mkdir(join(host.root, "out"));
  await chmod(join(host.root, "out"), 0o777);
  await host.hook("tell", `echo "the word is $TOKEN"; echo "$TOKEN $AWS_SECRET_ACCESS_KEY" >>${out()}`);
  await recordGrants({ paths: host.paths, clock: Date }, [askForHook("tell")], "root");
});
afterEach(() => host.close());

const waiting = async () => (await readWaiting({ paths: host.paths, clock: Date })).map(({ summary }) => summary);
const grantAll = async () => {
  const asks = await readWaiting({ paths: host.paths, clock: Date });
  await recordGrants({ paths: host.paths, clock: Date }, asks, "root");
};
const granted = async (wanted: Wanted) => {
  const work = host.work(wanted);
  await recordGrants({ paths: host.paths, clock: Date }, work.assignment.repositories.map(askForRepository), "root");
  return work;
};
const withToken = (source: { file: string } | { sealed: string } = { file }): Wanted => ({
  before: ["tell"],
  settings: { environment: { TOKEN: source } },
});

describe("the secret of a hook", () => {
  it("waits for root; then it reaches the hook, and neither log nor report", async () => {
    const secrets = { AWS_SECRET_ACCESS_KEY: { file: await host.write("etc/holdfast/secrets/aws", "of-the-storage") } };
    const work = await granted({ ...withToken(), secrets });
    expect(await host.backup(work)).toMatchObject(WAITS);
    expect(await waiting()).toEqual([
      `Give hooks and database commands that run as user root the secret TOKEN, from ${file}`,
    ]);
    expect(await textOf(out())).toBe("");
    await grantAll();
    const done = await host.backup(work);
    expect(done).toMatchObject({ state: "succeeded", failure: null });
    // The storage's credential is none of a hook's that root did not declare.
    expect(await textOf(out())).toBe(`${SECRET} \n`);
    const { log } = await host.report({ runId: done.runId });
    expect(log).toContain("the word is ***");
    expect(JSON.stringify([await host.reports(), host.lines])).not.toContain(SECRET);
  });

  it("is granted for its user, variable and file, so that another of each asks again", async () => {
    const policy = await loadPolicy(host.paths);
    const keyOf = (variable: string, source: string, user: string) =>
      asksOfEnvironment(policy, { environment: { [variable]: { file: source } }, user })[0]?.key;
    const keys = [keyOf("A", "/a", "me"), keyOf("B", "/a", "me"), keyOf("A", "/b", "me"), keyOf("A", "/a", "you")];
    expect(new Set(keys).size).toBe(4);
    expect(keyOf("A", "/a", "me")).toBe(keys[0]);
  });

  it("leaves the binding as it was until root says yes", async () => {
    const config = { url: "http://127.0.0.1:1", host: "", name: "nas", audience: "", controlKey: "" };
    const deps = { paths: host.paths, config, clock: Date, log: () => undefined };
    const before = await granted({ before: ["tell"] });
    expect((await putInForce(deps, before.assignment))?.bindings).toEqual(before.assignment.bindings);
    const wanted = host.work(withToken()).assignment;
    expect((await putInForce(deps, wanted))?.bindings).toEqual(before.assignment.bindings);
    await grantAll();
    expect((await putInForce(deps, wanted))?.bindings).toEqual(wanted.bindings);
  });

  it("is never a file of the agent's own", async () => {
    const key = await host.write("var/lib/holdfast/host.key", "the host's own key\n");
    await host.policy({ level: "open" });
    expect(await host.backup(await granted(withToken({ file: key })))).toMatchObject({
      failure: { code: "policy.refused", message: expect.stringContaining("the agent's own") },
    });
  });

  it("is not read through a directory that others can change", async () => {
    const { uid, gid } = numbersOf("nobody");
    const home = join(host.root, "home");
    await mkdir(home);
    await symlink(file, join(home, "token"));
    await chown(home, uid, gid);
    await host.policy({ level: "open" });
    expect(await host.backup(await granted(withToken({ file: join(home, "token") })))).toMatchObject({
      failure: { code: "secret.unreadable", message: expect.stringContaining(`others than root can change ${home}`) },
    });
    expect(await textOf(out())).toBe("");
  });

  it("is not read through links, or from a directory like /tmp, where others can change what it is", async () => {
    const { uid, gid } = numbersOf("nobody");
    const [home, shared] = [join(host.root, "home"), join(host.root, "shared")];
    for (const place of [home, shared]) await mkdir(place);
    await chmod(shared, 0o1777);
    await chown(home, uid, gid);
    await symlink(file, join(home, "token"));
    await symlink(join(home, "token"), join(host.root, "etc/holdfast/secrets/by-home"));
    await symlink(file, join(shared, "of-nobody"));
    await lchown(join(shared, "of-nobody"), uid, gid);
    await symlink("../etc/holdfast/secrets/token", join(shared, "of-root"));
    const fault = async (path: string) => await secretPlaceFault(join(host.root, path));
    expect(await fault("etc/holdfast/secrets/by-home")).toContain(`others than root can change ${home},`);
    expect(await fault("shared/of-nobody")).toContain(`others than root can change ${shared},`);
    expect(await fault("shared/of-root")).toBeNull();
    await expect(fault("shared/none")).rejects.toThrow("ENOENT");
  });

  it("may be kept by a user himself when it is a repository's, but no link of his is followed", async () => {
    const { uid, gid } = numbersOf("nobody");
    const home = join(host.root, "home");
    const own = await host.write("home/own", "of a repository\n");
    execFileSync("mkfifo", [join(home, "pipe")]);
    await symlink(file, join(home, "link"));
    await symlink("/dev/zero", join(host.root, "etc/holdfast/secrets/endless"));
    await chown(home, uid, gid);
    const read = async (path: string) => {
      const [repository] = host.work({ passphrase: { file: path } }).assignment.repositories;
      if (repository === undefined) throw new Error("no repository");
      const deps = { paths: host.paths, random: randomBytes };
      return await readSecrets(deps, { repository, wasSeen: false, mayGenerate: false });
    };
    expect(await read(own)).toMatchObject({ passphrase: "of a repository" });
    await expect(read(join(home, "link"))).rejects.toThrow("link is a link that others than root can change");
    await expect(read(join(home, "pipe"))).rejects.toThrow("must hold the secret alone");
    await expect(read(join(host.root, "etc/holdfast/secrets/endless"))).rejects.toThrow("must hold the secret alone");
  });

  it("may be sealed for the binding's repository, and waits for root like any other", async () => {
    const recipients = [await recipientOfHost(host.paths)];
    const seal = async (location: string) =>
      withToken({
        sealed: await sealSecret(recipients, { for: { provider: "restic", location }, name: "TOKEN", value: SECRET }),
      });
    const work = await granted(await seal(join(host.root, "srv/repository")));
    expect(await host.backup(work)).toMatchObject(WAITS);
    await grantAll();
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(await textOf(out())).toContain(SECRET);
    await host.policy({ level: "open" });
    const foreign = await granted(await seal("/elsewhere"));
    expect(await host.backup(foreign)).toMatchObject({ failure: { code: "policy.refused" } });
  });

  it("reaches an after hook whose run died, read again and not stored", async () => {
    await host.policy({ level: "open" });
    const work = host.work({ ...withToken(), after: ["tell"] });
    const { runId } = await host.backup(work);
    await rm(out());
    const [entry] = await host.spool.list();
    if (entry?.report.type !== "run") throw new Error("the run is not in the spool");
    const { environment = {} } = work.binding.settings;
    const place = { name: "nas", provider: "restic" as const, location: join(host.root, "srv/repository") };
    await host.spool.write({
      report: { ...entry.report, run: { ...entry.report.run, state: "running", finishedAt: null } },
      owner: { pid: process.pid, startTicks: "of a process before" },
      after: {
        user: "root",
        timeLimitMs: 30_000,
        binding: "files-nas",
        contract: "files",
        hooks: [{ name: "tell", command: [join(host.paths.hooksDir, "tell")] }],
        resume: [],
        secrets: { environment, repository: place },
      },
    });
    await recoverInterrupted(host.deps, work.assignment);
    expect(await textOf(out())).toContain(SECRET);
    const report = await host.report({ runId });
    expect(report.log).toContain("the word is ***");
    expect(JSON.stringify(report)).not.toContain(SECRET);
  });
});

describe("a database's commands", () => {
  it("get their secrets in their environment, and in no command line", async () => {
    await host.policy({ level: "open", hooks: "inline" });
    const seen = join(host.root, "out/argv");
    const watch = `for one in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$one || :; echo; done >>${seen} 2>/dev/null`;
    const database = {
      backupName: "-of a day: 100% 'odd' \"name\" {now}.sql",
      backupCmd: `${watch}; echo "rows for $TOKEN"`,
      restoreCmd: `${watch}; cat >${out()}; env >>${out()}`,
    };
    await writeFile(file, 'it\'s a "$1" canary-9c1 `of` \\ signs\n');
    const work = await granted({ database, settings: { environment: { TOKEN: { file } } } });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded" });
    expect(await textOf(out())).toContain('rows for it\'s a "$1" canary-9c1 `of` \\ signs\n');
    expect(await textOf(out())).toContain('\nTOKEN=it\'s a "$1" canary-9c1 `of` \\ signs\n');
    expect(await textOf(seen)).toContain("holdfast");
    expect(await textOf(seen)).not.toContain("canary-9c1");
  });
});

describe("a list of root's own places", () => {
  it("grants no server that the control plane could have written itself", async () => {
    const location = "swift:container:/path";
    await host.policy(JSON.stringify({ repositories: [location] }));
    const secret = { file };
    const sealed = await sealSecret([await recipientOfHost(host.paths)], {
      for: { provider: "restic", location },
      name: "OS_AUTH_URL",
      value: "http://thief/",
    });
    const secrets = { OS_PASSWORD: secret, OS_AUTH_URL: { sealed } };
    expect(await host.backup(host.work({ location, passphrase: secret, secrets }))).toMatchObject(WAITS);
  });
});

test("the names of variables that change how programs run are refused", () => {
  const refused =
    "PATH HOME LD_PRELOAD LD_LIBRARY_PATH BASH_ENV ENV IFS SHELLOPTS PS4 PYTHONPATH PYTHONSTARTUP NODE_OPTIONS GIT_SSH_COMMAND " +
    "PERL5OPT RUBYOPT JAVA_TOOL_OPTIONS _JAVA_OPTIONS LIBMYSQL_PLUGINS TAR_OPTIONS PSQLRC https_proxy SSL_CERT_FILE HOLDFAST_RUN " +
    "BORG_PASSCOMMAND RESTIC_PASSWORD_COMMAND RCLONE_CONFIG passphrase A=B 1A ZDOTDIR MAKEFILES KRB5_CONFIG SUDO_ASKPASS";
  const taken = "A B TOKEN PGPASSWORD MYSQL_PWD AWS_SECRET_ACCESS_KEY RESTIC_REST_PASSWORD api_key GOTIFY_TOKEN";
  expect(`${refused} ${taken}`.split(" ").filter((name) => environmentNameFault(name) === null)).toEqual(
    taken.split(" "),
  );
});

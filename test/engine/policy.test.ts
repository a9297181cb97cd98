import { chmod, chown, mkdir, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listHooks, loadPolicy } from "../../agent/policy/policy.ts";
import { isWithin } from "../../agent/policy/check.ts";
import { listSnapshots } from "../../agent/runs.ts";
import { type EngineHost, type Wanted } from "./engine-host.ts";
import { openReadyHost } from "./ready-host.ts";

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
  await host.hook("named", "true");
});
afterEach(() => host.close());

const root = (path: string): string => join(host.root, path);
const isRoot = process.getuid?.() === 0;

describe("the host's policy", () => {
  const allows: [string, () => unknown, () => Wanted][] = [
    ["nothing said", () => ({}), () => ({ before: ["named"] })],
    ["its sources", () => ({ sources: [root("data")] }), () => ({})],
    ["what is below its sources", () => ({ sources: [host.root] }), () => ({})],
    ["its repositories", () => ({ repositories: [root("srv")] }), () => ({})],
    ["its users", () => ({ users: [host.work().assignment.contracts[0]?.request.user] }), () => ({})],
    ["shell where it says inline", () => ({ hooks: "inline" }), () => ({ before: ["test 1 = 1"] })],
    ["no hooks where there are none", () => ({ hooks: "off" }), () => ({})],
  ];
  it.each(allows)("allows %s", async (_what, policy, wanted) => {
    await host.policy(policy());
    expect(await host.backup(host.work(wanted()))).toMatchObject({ state: "succeeded" });
    expect(await host.refusals()).toEqual([]);
  });

  const refuses: [string, string, () => unknown, () => Wanted][] = [
    ["shell by default", "policy.hooks", () => ({}), () => ({ before: ["rm -rf /nowhere"] })],
    ["shell in an after hook", "policy.hooks", () => ({}), () => ({ after: ["echo $HOME"] })],
    ["hooks at all", "policy.hooks", () => ({ hooks: "off" }), () => ({ before: ["named"] })],
    ["other sources", "policy.sources", () => ({ sources: [root("dat")] }), () => ({})],
    ["other repositories", "policy.repositories", () => ({ repositories: ["rest:https://nas/"] }), () => ({})],
    ["every repository", "policy.repositories", () => ({ repositories: [] }), () => ({})],
    ["other users", "policy.users", () => ({ users: ["somebody"] }), () => ({})],
    ["an unknown key", "policy.repositories", () => ({ source: [] }), () => ({})],
    ["what it can't read", "policy.repositories", () => "{", () => ({})],
    ["a level it does not know", "policy.repositories", () => ({ level: "closed" }), () => ({})],
  ];
  it.each(refuses)("refuses %s, and says so once", async (_what, code, policy, wanted) => {
    await host.policy(policy());
    const work = host.work(wanted());
    const outcome = await host.backup(work);
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "policy.refused" } });
    await host.backup(work);
    const refusals = await host.refusals();
    expect(refusals).toMatchObject([{ code, subject: "files-nas", message: outcome.failure?.message }]);
  });

  it("resolves the symbolic links of a source", async () => {
    await host.write("private/key", "secret");
    await symlink(root("private"), root("data/link"));
    await host.policy({ sources: [root("data")] });
    const outcome = await host.backup(host.work({ sources: [root("data/link")] }));
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
    expect((await host.refusals())[0]?.message).toContain(root("private"));
  });

  it("reports refusals again under a newer assignment", async () => {
    await host.policy({ users: ["somebody"] });
    const work = host.work();
    await host.backup(work);
    await host.backup({ ...work, assignment: { ...work.assignment, revision: 2 } });
    expect(await host.refusals()).toHaveLength(2);
  });

  it("is not applied when others could write it", async () => {
    await host.policy({});
    await chmod(host.paths.policyJson, 0o666);
    expect((await loadPolicy(host.paths)).fault).toContain("chmod go-w");
    expect(await host.backup(host.work())).toMatchObject({ failure: { code: "policy.refused" } });
    await chmod(host.paths.policyJson, 0o644);
    expect((await loadPolicy(host.paths)).fault).toBeNull();
    if (!isRoot) return;
    await chown(host.paths.policyJson, 65534, 65534);
    expect((await loadPolicy(host.paths)).fault).toContain("chown root");
  });

  it("that is invalid lets nothing run, and the reason is reported", async () => {
    const work = host.work();
    const faults: [string, string][] = [
      ["{", "can't be followed"],
      ["", "can't be followed"],
      ["null", "can't be followed"],
      ['{"hoooks":"off"}', "hoooks"],
      ['{"sources":["srv"]}', "sources.0: must be an absolute path"],
    ];
    for (const [text, words] of faults) {
      await host.policy(text);
      const outcome = await host.backup(work);
      expect(outcome).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
      expect(outcome.failure?.message).toContain(words);
      expect(outcome.failure?.message).toContain(host.paths.policyJson);
      expect(await host.restore(work, { target: root("a") })).toMatchObject({ failure: { code: "policy.refused" } });
      await expect(listSnapshots(host.deps, work)).rejects.toMatchObject({ failure: { code: "policy.refused" } });
    }
    expect((await readdir(host.root)).toSorted()).toEqual(["data", "etc", "srv", "var"]);
    expect(await readdir(root("srv/repository/snapshots"))).toEqual([]);
  });

  it("in a directory that others could write is not applied, nor treated as missing", async () => {
    await chmod(host.paths.etc, 0o775);
    await host.policy({});
    expect((await loadPolicy(host.paths)).fault).toContain(`chmod go-w ${host.paths.etc}`);
    await rm(host.paths.policyJson);
    expect(await loadPolicy(host.paths)).toMatchObject({ hooks: "off", restore: "off", sources: [] });
  });

  it("decides about restores", async () => {
    const work = host.work();
    await host.backup(work);
    await host.policy({ restore: "off" });
    expect(await host.restore(work, { target: root("a") })).toMatchObject({ failure: { code: "policy.refused" } });
    await host.policy({ restore: "staging" });
    expect(await host.restore(work, {})).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await host.restore(work, { target: root("a") })).toMatchObject({ state: "succeeded" });
    await host.policy({});
    expect(await host.restore(work, { include: ["/etc/passwd"] })).toMatchObject({
      failure: { code: "policy.refused" },
    });
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded" });
    expect((await host.refusals()).map(({ code }) => code)).toEqual(Array(3).fill("policy.restore"));
  });
});

describe("hooks.d", () => {
  it("lists the executables that may run, and no others", async () => {
    await host.hook("also", "true");
    await host.write("etc/holdfast/hooks.d/not-executable", "");
    await host.hook("writable", "true");
    await chmod(root("etc/holdfast/hooks.d/writable"), 0o777);
    await symlink("/bin/true", root("etc/holdfast/hooks.d/outside"));
    await symlink("named", root("etc/holdfast/hooks.d/inside"));
    await mkdir(root("etc/holdfast/hooks.d/directory"));
    expect(await listHooks(host.paths)).toEqual(["also", "inside", "named"]);
    await chmod(host.paths.hooksDir, 0o777);
    expect(await listHooks(host.paths)).toEqual([]);
    await rm(host.paths.hooksDir, { recursive: true });
    expect(await listHooks(host.paths)).toEqual([]);
  });

  it.each(["writable", "outside"])("with a %s hook in it never runs that hook", async (name) => {
    if (name === "writable") await host.hook(name, "true");
    else await symlink("/bin/true", root(`etc/holdfast/hooks.d/${name}`));
    if (name === "writable") await chmod(root(`etc/holdfast/hooks.d/${name}`), 0o722);
    expect(await host.backup(host.work({ before: [name] }))).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await host.refusals()).toMatchObject([{ code: "policy.hooks" }]);
  });
});

describe("a path is within another", () => {
  it.each([
    ["/srv/a", "/srv", true],
    ["/srv", "/srv", true],
    ["/srv-a", "/srv", false],
    ["/", "/srv", false],
    ["/srv/a", "/", true],
    ["/srv/ab", "/srv/a", false],
    ["/srv/a", "/srv/a/", true],
    ["/srv/a/b", "/srv/a/", true],
    ["/srv/ab", "/srv/a/", false],
    ["//srv/a", "/srv", true],
    ["/srv//a/b", "/srv/a", true],
    ["rest:https://nas/a/b", "rest:https://nas/a", true],
    ["rest:https://nas/a/../b", "rest:https://nas/a", false],
    ["rest:https://nas/a/%2e%2E/b", "rest:https://nas/a", false],
    ["rest:https://nas.evil/a", "rest:https://nas", false],
  ])("%s in %s: %s", (path, directory, expected) => {
    expect(isWithin(path, directory)).toBe(expected);
  });
});

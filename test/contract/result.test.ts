import { execFileSync } from "node:child_process";
import { chmod, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openContractHost, type Bound, type ContractHost } from "./contract-host.ts";

// What a binding puts on its host: that it is there, says what it should, and goes when the binding goes.

let host: ContractHost;

const bound = (name: string, change: Partial<Bound> = {}): Bound => ({
  name,
  provider: "restic",
  location: join(host.root, "opt/repository"),
  request: { user: "root", sourceDirectories: [join(host.root, "opt/files")] },
  ...change,
});

beforeAll(async () => {
  host = await openContractHost();
  await writeFile(join(await host.directory("opt/files"), "letter"), "dear reader");
  await host.assign([bound("on"), bound("off", { settings: { enable: false } }), bound("paused", { paused: true })]);
});

afterAll(() => host.close());

test("each binding has its script and they share one unit, whether they are on, off or paused", async () => {
  for (const name of ["on", "off", "paused"]) {
    const path = join(host.paths.scriptsDir, `holdfast-backups-${name}`);
    expect((await stat(path)).mode & 0o777, name).toBe(0o755);
    execFileSync("shellcheck", ["--shell=sh", path]);
  }
  expect((await stat(host.paths.backupUnit)).mode & 0o777).toBe(0o644);
  const verified = join(host.root, "holdfast-backup@photos.service");
  await writeFile(verified, await readFile(host.paths.backupUnit));
  expect(execFileSync("systemd-analyze", ["verify", verified], { encoding: "utf8", stdio: "pipe" })).toBe("");
  // nothing in them is anybody's secret, and they say whose they are
  const status = JSON.parse((await host.agent.cli("status", "--json")).stdout);
  expect(status.bindings.map(({ result }: { result: unknown }) => result)).toEqual(
    ["on", "off", "paused"].map((name) => ({
      restoreScript: `holdfast-backups-${name}`,
      backupService: `holdfast-backup@${name}.service`,
    })),
  );
});

test("the script's usage and exit statuses are the contract's", async () => {
  const path = join(host.paths.scriptsDir, "holdfast-backups-on");
  const usage = `${path} snapshots\n${path} backup\n${path} restore <snapshot>\n${path} exec <arg> [<args>...]\n`;
  expect(await host.script("on")).toEqual({ code: 0, stdout: usage, stderr: "" });
  expect(await host.script("on", "frobnicate")).toEqual({ code: 1, stdout: usage, stderr: "" });
  expect(await host.script("on", "restore")).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/./) });
  // nothing was ever backed up: no line is a snapshot
  expect((await host.script("on", "snapshots")).stdout).toBe("");
});

test("bindings of the same repository and contract see their own snapshots only, also when they are off", async () => {
  expect(await host.script("off", "backup")).toMatchObject({ code: 0 });
  expect(await host.start("paused")).toMatchObject({ code: 0 });
  const [on, off, paused] = await Promise.all(["on", "off", "paused"].map((name) => host.script(name, "snapshots")));
  expect(on).toMatchObject({ code: 0, stdout: "" });
  expect(off?.stdout).toMatch(/^[0-9a-f]{64}\n$/);
  expect(paused?.stdout).toMatch(/^[0-9a-f]{64}\n$/);
  expect(paused?.stdout).not.toBe(off?.stdout);

  await writeFile(join(host.root, "opt/files/letter"), "spilled ink");
  const id = off?.stdout.trim() ?? "";
  const restored = await host.script("off", "restore", id);
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringMatching(`^Will restore snapshot '${id}'\n`) });
  expect(await readFile(join(host.root, "opt/files/letter"), "utf8")).toBe("dear reader");
  expect(await host.script("on", "restore", id)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("snapshot"),
  });
  expect(await host.script("off", "exec", "cat", "config")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("chunker_polynomial"),
  });
});

test("a unit of an unknown binding fails", async () => {
  expect(await host.start("nobody")).toMatchObject({ code: 2, stderr: expect.stringContaining("no binding 'nobody'") });
});

test("a deleted binding loses its script, a new name is a new script; foreign files stay, and are logged once", async () => {
  const pathOf = (name: string): string => join(host.paths.scriptsDir, `holdfast-backups-${name}`);
  const before = await readFile(pathOf("paused"), "utf8");
  await writeFile(pathOf("foreign"), "#!/bin/sh\necho mine\n");
  await writeFile(pathOf("on"), "echo changed\n", { flag: "a" });
  await chmod(pathOf("paused"), 0o700);
  const wanted = [bound("on"), bound("paused"), bound("renamed", { formerly: "off" }), bound("foreign")];
  const said = await host.assign(wanted, 1);

  const there = await Promise.all(
    ["on", "off", "paused", "renamed", "foreign"].map(
      async (name) => (await stat(pathOf(name)).catch(() => null)) !== null,
    ),
  );
  expect(there).toEqual([true, false, true, true, true]);
  expect([await readFile(pathOf("paused"), "utf8"), (await stat(pathOf("paused"))).mode & 0o777]).toEqual([
    before,
    0o755,
  ]);
  expect(await readFile(pathOf("on"), "utf8")).not.toContain("changed");
  expect((await host.script("renamed", "snapshots")).stdout).toMatch(/^[0-9a-f]{64}\n$/);
  expect(await readFile(pathOf("foreign"), "utf8")).toBe("#!/bin/sh\necho mine\n");
  expect(said.split(`${pathOf("foreign")} is not the agent's`)).toHaveLength(2);
  expect((await host.agent.cli("status")).stdout).toContain(`result      ${pathOf("foreign")} is not the agent's`);
});

test("an equivalent unit of the NixOS module stays, and is no trouble", async () => {
  const theirs = "[Service]\nType=oneshot\nExecStart=/nix/store/x-holdfast/bin/holdfast-agent backup %i\n";
  await writeFile(host.paths.backupUnit, theirs);
  const said = await host.assign([bound("on")]);
  expect(await readFile(host.paths.backupUnit, "utf8")).toBe(theirs);
  expect(said).not.toContain(host.paths.backupUnit);
  expect((await host.agent.cli("status")).stdout).not.toContain(host.paths.backupUnit);
  await rm(host.paths.backupUnit);
});

test("when no script can be written the backups continue, and it is logged once", async () => {
  execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", host.paths.scriptsDir]);
  try {
    const said = await host.assign([bound("on")], 1);
    const trouble = `${host.paths.scriptsDir}/holdfast-backups-on can't be kept: the disk is read-only there`;
    expect(said.split(trouble)).toHaveLength(2);
    const { stdout } = await host.agent.cli("status");
    expect(stdout).toContain(
      `result      ${host.paths.scriptsDir}/holdfast-backups-on is missing: the disk is read-only`,
    );
    expect(await host.agent.cli("backup", "on")).toMatchObject({ code: 0 });
  } finally {
    execFileSync("umount", [host.paths.scriptsDir]);
  }
});

test("uninstall removes the scripts and units, and nothing else beside them", async () => {
  await host.assign([bound("on")]);
  const gone = await host.agent.cli("uninstall");
  expect(gone.stdout).toContain(
    `  ${join(host.paths.scriptsDir, "holdfast-backups-on")}\n  ${host.paths.backupUnit}\n`,
  );
  expect(await host.agent.cli("uninstall", "--yes")).toMatchObject({ code: 0 });
  expect(await readdir(host.paths.scriptsDir)).toEqual(["holdfast-backups-foreign"]);
  await expect(stat(host.paths.backupUnit)).rejects.toThrow("ENOENT");
  expect(await readdir(join(host.root, "opt/repository"))).toContain("config");
});

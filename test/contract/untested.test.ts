import { execFileSync } from "node:child_process";
import { lstat, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findExecutable } from "../../agent/system/executables.ts";
import { describeTree, makeOddTree } from "../engine/odd-tree.ts";
import { IS_WHOLE } from "../support/engines.ts";
import { wrapTool, watchArgv } from "./argv-watch.ts";
import { openContractHost, type Bound, type ContractHost } from "./contract-host.ts";
import { numbersOf } from "./seed-accounts.ts";

// What the seed's own contract test leaves open, asked of both tools through the same script and unit.

const PASSPHRASE = "correct horse battery staple";
const TOOLS: readonly ("restic" | "borg")[] = IS_WHOLE ? ["restic", "borg"] : ["restic"];
const SPARSE_BYTES = 8_000_000;

let host: ContractHost;
let tree: string;

beforeAll(async () => {
  host = await openContractHost();
  tree = await host.directory("opt/tree");
  for (const name of ["one", "two", "three"]) await hook(name, "exit 0");
  await hook("broken", "exit 7");
  await writeFile(join(await host.directory("opt/secrets"), "passphrase"), `${PASSPHRASE}\n`, { mode: 0o600 });
  await writeFile(join(host.root, "opt/secrets/wrong"), "another one\n", { mode: 0o600 });
  const mixed = await host.directory("opt/mixed", numbersOf("nobody"));
  await writeFile(join(mixed, "mine"), "readable", { mode: 0o644 });
  await writeFile(join(mixed, "roots"), "not for you", { mode: 0o600 });
  await host.assign(await Promise.all(TOOLS.map(bindingsOf)).then((lists) => lists.flat()));
  await makeTree();
});

afterAll(() => host.close());

async function bindingsOf(provider: (typeof TOOLS)[number]): Promise<Bound[]> {
  const at = (name: string): string => join(host.root, "opt/repos", `${provider}-${name}`);
  await mkdir(join(host.root, "opt/repos"), { recursive: true });
  await symlink(at("tree"), at("tree-by-another-name"));
  const files = { user: "root", sourceDirectories: [tree] };
  const passphrase = { file: join(host.root, "opt/secrets/passphrase") };
  const hooks = { beforeBackup: ["one", "two"], afterBackup: ["three"] };
  const excludePatterns = ["*.tmp", "cache/*"];
  const bound = (name: string, request: Bound["request"], change: Partial<Bound> = {}): Bound => ({
    name: `${provider}-${name}`,
    provider,
    location: at("tree"),
    request,
    repository: { passphrase },
    ...change,
  });
  return [
    bound("tree", { ...files, excludePatterns, hooks }, { contract: "tree" }),
    bound("other", files),
    bound("broken", { ...files, hooks: { beforeBackup: ["one", "broken", "two"], afterBackup: ["three"] } }),
    bound("missing", { user: "root", sourceDirectories: [tree, join(host.root, "opt/nowhere")] }),
    bound(
      "unreadable",
      { user: "nobody", sourceDirectories: [join(host.root, "opt/mixed")] },
      {
        location: await host.directory(`opt/repos/${provider}-mixed`, numbersOf("nobody")),
        repository: {},
      },
    ),
    bound("wrong", files, {
      location: at("tree-by-another-name"),
      repository: { passphrase: { file: join(host.root, "opt/secrets/wrong") }, existing: true },
    }),
    ...["a-b", "a.b", "a_b"].map((name, index) =>
      bound(name, files, {
        location: join(host.root, "opt/repos", provider, ["a/b_c", "a_b/c", "a/b/c"][index] ?? ""),
      }),
    ),
  ];
}

/** Each hook says its turn in one file. */
async function hook(name: string, last: string): Promise<void> {
  await mkdir(host.paths.hooksDir, { recursive: true, mode: 0o755 });
  const line = `echo "$HOLDFAST_PHASE ${name}" >>${join(host.root, "turns")}`;
  await writeFile(join(host.paths.hooksDir, name), `#!/bin/sh\n${line}\n${last}\n`, { mode: 0o755 });
}

async function makeTree(): Promise<void> {
  makeOddTree(tree);
  await mkdir(join(tree, "cache"));
  for (const name of ["cache/blob", "a.tmp", "deep/b.tmp"]) await writeFile(join(tree, name), "again to be had");
  await writeFile(join(tree, "tagged"), "with attributes");
  execFileSync("setfattr", ["-n", "user.origin", "-v", "camera", join(tree, "tagged")]);
  execFileSync("chown", ["1234:4321", join(tree, "tagged")]);
  execFileSync("truncate", ["-s", String(SPARSE_BYTES), join(tree, "sparse")]);
  execFileSync("touch", ["-d", "2001-02-03 04:05:06.789", join(tree, "sparse"), join(tree, "cache"), tree]);
}

async function turns(): Promise<string[]> {
  const text = await readFile(join(host.root, "turns"), "utf8").catch(() => "");
  await rm(join(host.root, "turns"), { force: true });
  return text.split("\n").slice(0, -1);
}

/** Where the agent finds the tool by itself. */
async function pathOf(tool: string): Promise<string> {
  const found = await findExecutable(tool, process.env["PATH"] ?? "");
  if (found === null) throw new Error(`there is no ${tool}`);
  return found;
}

async function snapshotsOf(binding: string): Promise<string[]> {
  const { stdout } = await host.script(binding, "snapshots");
  return stdout.split("\n").slice(0, -1);
}

function withoutPaths(found: Record<string, unknown>, paths: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(found).filter(([path]) => !paths.includes(path)));
}

describe.each(TOOLS)("%s", (tool) => {
  test("restores owners, modes, times, links and attributes, and nothing excluded; hooks run in order; no secret is shown", async () => {
    await turns();
    const before = describeTree(tree);
    const wrapper = await wrapTool(await pathOf(tool), await host.directory("opt/telling"));
    const watch = await watchArgv();
    const started = await host.start(`${tool}-tree`, { [`HOLDFAST_${tool.toUpperCase()}`]: wrapper.path });
    const seen = [...(await watch.stop()), ...(await wrapper.started())];
    expect(started.code, started.stderr).toBe(0);
    expect(await turns()).toEqual(["before one", "before two", "after three"]);
    expect(seen.some((line) => new RegExp(`(^|/| )${tool} .*(backup|create)`).test(line))).toBe(true);
    expect(seen.filter((line) => line.includes(PASSPHRASE))).toEqual([]);
    expect(started.stdout + started.stderr).not.toContain(PASSPHRASE);
    const kept = ["-rlF", PASSPHRASE, host.paths.state, host.paths.cache];
    expect(() => execFileSync("grep", kept)).toThrow(expect.objectContaining({ status: 1 }));

    await rm(tree, { recursive: true });
    await mkdir(tree, { mode: 0o700 });
    await writeFile(join(tree, "extra"), "made after the snapshot");
    const [id = ""] = await snapshotsOf(`${tool}-tree`);
    const restored = await host.script(`${tool}-tree`, "restore", id);
    expect(restored.code, restored.stderr).toBe(0);
    const excluded = ["/cache/blob", "/a.tmp", "/deep/b.tmp"];
    const after = describeTree(tree);
    expect(withoutPaths(after, ["/extra"])).toEqual(withoutPaths(before, excluded));
    expect(Object.keys(after)).toContain("/extra");
    const attribute = execFileSync("getfattr", [
      "--absolute-names",
      "--only-values",
      "-n",
      "user.origin",
      join(tree, "tagged"),
    ]);
    expect(attribute.toString()).toBe("camera");
    const { size, blocks } = await lstat(join(tree, "sparse"));
    expect(size).toBe(SPARSE_BYTES);
    // holes stay holes, but for restic before 0.15 (Debian 12's), which writes them out
    expect(blocks * 512).toBeLessThan(tool === "borg" ? SPARSE_BYTES / 10 : SPARSE_BYTES * 1.1);

    const exact = await host.script(`${tool}-tree`, "restore", id, "--delete");
    expect(exact.code, exact.stderr).toBe(0);
    expect(Object.keys(describeTree(tree))).not.toContain("/extra");
  });

  test("concurrent backups to one repository: each succeeds or is deferred, and each binding sees its own snapshots", async () => {
    const names = [`${tool}-tree`, `${tool}-other`, `${tool}-tree`];
    const ended = await Promise.all(names.map((name) => host.start(name)));
    for (const { code, stderr } of ended) expect([0, 75], stderr).toContain(code);
    const [twice, other] = [await snapshotsOf(`${tool}-tree`), await snapshotsOf(`${tool}-other`)];
    const wellEnded = ended.filter(({ code }) => code === 0).length;
    // one there was before
    expect(twice.length + other.length).toBe(wellEnded + 1);
    expect(other).toHaveLength(1);
    expect(twice).not.toContain(other[0]);
    const check = await host.script(`${tool}-tree`, "exec", "check");
    expect(check.code, check.stderr).toBe(0);
  });

  test("a before hook that fails ends the backup, and the after hook runs all the same", async () => {
    await turns();
    const failed = await host.start(`${tool}-broken`);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("(hook.failed)") });
    expect(await turns()).toEqual(["before one", "before broken", "after three"]);
    expect(await snapshotsOf(`${tool}-broken`)).toEqual([]);
  });

  test("a missing source is a failure, and no snapshot pretends to be complete", async () => {
    const failed = await host.start(`${tool}-missing`);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("(source.missing)") });
    expect(failed.stderr).toContain(join(host.root, "opt/nowhere"));
    expect(await snapshotsOf(`${tool}-missing`)).toEqual([]);
  });

  test("an unreadable file is reported and the rest stored: success with warnings, which is success for systemd", async () => {
    const byScript = await host.script(`${tool}-unreadable`, "backup");
    expect(byScript.code, byScript.stderr).toBe(3);
    expect(await snapshotsOf(`${tool}-unreadable`)).toHaveLength(1);
    const inRepository =
      tool === "restic" ? ["ls", "latest"] : ["list", "--short", "--last", "1", "--format", "{barchive}"];
    expect((await host.script(`${tool}-unreadable`, "exec", ...inRepository)).code).toBe(0);
    expect(await host.start(`${tool}-unreadable`)).toMatchObject({ code: 0 });
    const runs = execFileSync("grep", ["-rlF", join(host.root, "opt/mixed/roots"), host.paths.spoolDir]).toString();
    expect(runs).not.toBe("");
  });

  test("a wrong passphrase has its own error, and no second repository is created over the first", async () => {
    const location = join(host.root, "opt/repos", `${tool}-tree`);
    const config = await readFile(join(location, "config"));
    const failed = await host.start(`${tool}-wrong`);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("(repository.wrong_passphrase)") });
    expect(await host.script(`${tool}-wrong`, "snapshots")).toMatchObject({ code: 1, stdout: "" });
    expect(await readFile(join(location, "config"))).toEqual(config);
    expect(failed.stderr).not.toContain("another one");
  });

  test("names and paths that look alike in a slug stay apart", async () => {
    const made = await host.start(`${tool}-a.b`);
    expect(made.code, made.stderr).toBe(0);
    expect(await snapshotsOf(`${tool}-a.b`)).toHaveLength(1);
    expect([...(await snapshotsOf(`${tool}-a-b`)), ...(await snapshotsOf(`${tool}-a_b`))]).toEqual([]);
  });
});

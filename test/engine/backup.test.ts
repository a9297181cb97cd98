import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { everyRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost, textOf } from "./engine-host.ts";

const isRoot = process.getuid?.() === 0;

describe.each(everyRestic())("a backup with restic $version", (restic) => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  const locksOf = (): Promise<string[]> => readdir(join(host.root, "srv/repository/locks"));
  const big = (): Promise<void> => writeFile(join(host.root, "data/big"), randomBytes(4_000_000));

  it("says what it stored, and tells its progress", async () => {
    const runId = newId();
    const outcome = await host.backup(host.work({ excludes: ["*.tmp"] }), { runId, trigger: "order" });
    expect(outcome).toMatchObject({ runId, state: "succeeded", failure: null });
    const { run, snapshots, sequence } = await host.report({ runId });
    expect(run).toMatchObject({
      kind: "backup",
      trigger: "order",
      warnings: [],
      stats: { filesNew: 1, bytesTotal: 3 },
    });
    expect(snapshots).toMatchObject([{ id: run.snapshot, paths: [join(host.root, "data")] }]);
    expect(Date.parse(snapshots?.[0]?.takenAt ?? "")).toBeGreaterThanOrEqual(Date.parse(run.startedAt ?? ""));
    expect(sequence).toBe(2);
  });

  it("leaves out what the patterns say, and takes paths and patterns literally", async () => {
    for (const name of ["a.tmp", "$HOME", "-odd name ", "[x]"]) await host.write(`data/${name}/file`, "x");
    await host.write("data/[x]/b.tmp", "x");
    const source = (name: string): string => join(host.root, "data", name);
    const sources = ["$HOME", "-odd name ", "[x]"].map(source);
    const work = host.work({ sources, excludes: ["*.tmp"] });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    const listed = host.restic(work, "ls", "latest").split("\n");
    for (const name of sources) expect(listed).toContain(`${name}/file`);
    expect(listed).not.toContain(source("[x]/b.tmp"));

    const { runId, state } = await host.backup(
      host.work({ sources: [source("a.tmp"), source("[x]")], excludes: ["*.tmp"] }),
    );
    const { run, snapshots } = await host.report({ runId });
    expect({ state, code: run.failure?.code, snapshot: run.snapshot }).toEqual({
      state: "failed",
      code: "source.empty",
      snapshot: null,
    });
    expect(run.failure?.message).toContain(`"*.tmp" leaves out the whole source ${source("a.tmp")}`);
    expect(snapshots).toBeNull();
  });

  it("with a pattern an older version took is refused when it means different things to the tools", async () => {
    const outcome = await host.backup(host.work({ excludes: ["[!a]"] }));
    expect(outcome.failure).toMatchObject({ code: "engine.refused", message: expect.stringContaining("write '[^'") });
  });

  it("with a file its user can't read is warned, its snapshot recorded, and retention held back", async () => {
    await host.write("data/locked", "secret");
    await chmod(join(host.root, "data/locked"), 0);
    const user = isRoot ? "nobody" : undefined;
    const work = host.work({ settings: { retention: { keep_last: 1 } }, ...(user === undefined ? {} : { user }) });
    const outcome = await host.backup(work);
    expect(outcome).toMatchObject({
      state: "warned",
      failure: null,
      snapshot: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const { run, log } = await host.report({ kind: "backup" });
    expect(run.warnings).toEqual([expect.stringMatching(/data\/locked.*permission denied/)]);
    expect(log).toContain("old snapshots are not removed");
    expect(await host.reports()).toHaveLength(1);
  });

  it("of a missing or an empty source fails before anything is stored", async () => {
    const missing = await host.backup(host.work({ sources: [join(host.root, "data"), join(host.root, "gone")] }));
    expect(missing).toMatchObject({ state: "failed", snapshot: null, failure: { code: "source.missing" } });
    expect(missing.failure?.message).toContain(join(host.root, "gone"));
    await mkdir(join(host.root, "empty"));
    const empty = await host.backup(host.work({ sources: [join(host.root, "empty")] }));
    expect(empty).toMatchObject({ state: "failed", failure: { code: "source.empty" } });
    expect(await readdir(join(host.root, "srv/repository/snapshots"))).toEqual([]);
  });

  it("of sources that hold no file never counts, and one empty source of several is said", async () => {
    await mkdir(join(host.root, "hollow/inside"), { recursive: true });
    const hollow = await host.backup(host.work({ sources: [join(host.root, "hollow")] }));
    expect(hollow).toMatchObject({ state: "failed", snapshot: null, failure: { code: "source.empty" } });
    await mkdir(join(host.root, "empty"));
    const some = await host.backup(host.work({ sources: [join(host.root, "data"), join(host.root, "empty")] }));
    expect(some.state).toBe("warned");
    expect((await host.report({ kind: "backup" })).run.warnings).toEqual([`${join(host.root, "empty")}: is empty`]);
  });

  it("of a symbolic link keeps what is behind it, and says so", async () => {
    await symlink("data", join(host.root, "link"));
    const work = host.work({ sources: [join(host.root, "link")] });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    const { log, snapshots } = await host.report({ kind: "backup" });
    expect(log).toContain(`source ${join(host.root, "link")} is ${join(host.root, "data")}`);
    expect(snapshots?.[0]?.paths).toEqual([join(host.root, "data")]);
  });

  it("cancelled in the middle ends restic properly: no snapshot, no lock, no process", async () => {
    await big();
    const work = host.work({ settings: { limitUploadKiBs: 600 } });
    const stop = new AbortController();
    const running = host.backup(work, { signal: stop.signal });
    await until("restic's lock", async () => (await textOfLocks(locksOf)).length > 0);
    await until("progress", () => host.progress.length > 0);
    stop.abort();
    expect(await running).toMatchObject({ state: "cancelled", snapshot: null, failure: { code: "run.cancelled" } });
    expect(await locksOf()).toEqual([]);
    expect((await host.report({ kind: "backup" })).snapshots).toEqual([]);
  });

  it("that does not end when it is asked to is killed, and its lock removed", async () => {
    await big();
    const work = host.work({ settings: { limitUploadKiBs: 20 } });
    host.impatient();
    const stop = new AbortController();
    const running = host.backup(work, { signal: stop.signal });
    await until("restic's lock", async () => (await textOfLocks(locksOf)).length > 0);
    await until("progress", () => host.progress.length > 0);
    stop.abort();
    expect(await running).toMatchObject({ state: "cancelled", snapshot: null });
    expect(await locksOf()).toEqual([]);
  });

  it("that takes longer than it may is stopped", async () => {
    await big();
    const work = host.work({ settings: { limitUploadKiBs: 300, runTimeLimit: "6s" } });
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "run.timed_out" } });
    expect(await locksOf()).toEqual([]);
  });

  it("shows its secrets and its place to nobody: not in argv, the log, the spool, or what it says", async () => {
    await big();
    const secret = `secret-${randomBytes(8).toString("hex")}`;
    const key = `key-${randomBytes(8).toString("hex")}`;
    const work = host.work({
      passphrase: { file: await host.write("pass", `${secret}\n`) },
      secrets: { AWS_SECRET_ACCESS_KEY: { file: await host.write("key", key) } },
      settings: { limitUploadKiBs: 500 },
      before: ["tell"],
    });
    await host.hook("tell", `echo the word is ${secret} >&2`);
    const seen: string[] = [];
    const running = host.backup(work);
    await until("restic backup in the process list", async () => {
      for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name)))
        seen.push(await commandLineOf(pid));
      return seen.some((line) => line.includes(restic.path) && line.includes(work.binding.id));
    });
    expect(await running).toMatchObject({ state: "succeeded" });
    const spooled = await Promise.all(
      (await readdir(host.paths.spoolDir)).map((name) => readFile(join(host.paths.spoolDir, name), "utf8")),
    );
    const everything = [...seen.filter((line) => line.includes(restic.path)), ...spooled, ...host.lines].join("\n");
    expect(everything).toContain("the word is ***");
    for (const hidden of [secret, key]) expect(everything).not.toContain(hidden);
    for (const line of seen.filter((text) => text.includes(restic.path))) expect(line).not.toContain("srv/repository");
  });

  it("is what the repository lists, whatever restic's exit code says", async () => {
    const work = host.work();
    await host.backup(work);
    const lying = async (script: string): Promise<void> => {
      const path = join(host.root, "restic");
      await writeFile(path, `#!/bin/sh\n${script}\nexec ${restic.path} "$@"\n`, { mode: 0o755 });
      process.env["HOLDFAST_RESTIC"] = path;
    };
    await lying(`if [ "$1" = backup ]; then ${restic.path} "$@"; echo 'Fatal: broken pipe' >&2; exit 1; fi`);
    const stored = await host.backup(work);
    expect(stored).toMatchObject({ state: "warned", snapshot: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(stored.failure?.message).toContain("broken pipe");

    await lying(`if [ "$1" = backup ]; then echo '{"message_type":"summary","snapshot_id":"00000000"}'; exit 0; fi`);
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "snapshot.not_listed" } });

    await lying(`if [ "$1" = backup ]; then kill -KILL $$; fi`);
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "engine.crashed" } });
  });

  it.runIf(isRoot)("to a full disk fails with that word, and the next one works again", async () => {
    const disk = join(host.root, "srv");
    await mkdir(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m,mode=755", "holdfast-test", disk]);
    try {
      const work = host.work();
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      await big();
      expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "repository.full" } });
      await rm(join(host.root, "data/big"));
      execFileSync("mount", ["-o", "remount,size=30m", disk]);
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    } finally {
      execFileSync("umount", ["-l", disk]);
    }
  });
});

async function textOfLocks(locksOf: () => Promise<string[]>): Promise<string[]> {
  return await locksOf().catch(() => []);
}

async function commandLineOf(pid: string): Promise<string> {
  return (await textOf(`/proc/${pid}/cmdline`)).replaceAll("\0", " ");
}

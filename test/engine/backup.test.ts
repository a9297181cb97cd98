import { readLastRun } from "../../agent/state/last-run.ts";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newestRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost, textOf } from "./engine-host.ts";

/** What the tool and its version do not matter for; the rest is in test/provider/backup.suite.ts. */
describe("a backup", () => {
  const restic = newestRestic();
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  const big = (): Promise<void> => writeFile(join(host.root, "data/big"), randomBytes(4_000_000));

  it("reports what it stored, and its progress", async () => {
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
    // Spans of a schedule count from what was reported.
    const last = await readLastRun(host.paths, { kind: "backup", id: run.binding ?? "" });
    expect(last?.startedMs).toBe(Date.parse(run.startedAt ?? ""));
    expect(last?.endedMs).toBeGreaterThanOrEqual(Date.parse(run.finishedAt ?? ""));
  });

  it("with a pattern of an older version is refused when the tools read it differently", async () => {
    const outcome = await host.backup(host.work({ excludes: ["[!a]"] }));
    expect(outcome.failure).toMatchObject({ code: "engine.refused", message: expect.stringContaining("write '[^'") });
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

  it("says which of several sources is empty", async () => {
    await mkdir(join(host.root, "empty"));
    const some = await host.backup(host.work({ sources: [join(host.root, "data"), join(host.root, "empty")] }));
    expect(some.state).toBe("warned");
    expect((await host.report({ kind: "backup" })).run.warnings).toEqual([`${join(host.root, "empty")}: is empty`]);
  });

  it("over its time limit is stopped", async () => {
    await big();
    const work = host.work({ settings: { limitUploadKiBs: 300, runTimeLimit: "6s" } });
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "run.timed_out" } });
    expect(await readdir(join(host.root, "srv/repository/locks"))).toEqual([]);
  });

  it("shows its secrets and location nowhere: not in argv, the log, the spool, or its output", async () => {
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
});

async function commandLineOf(pid: string): Promise<string> {
  return (await textOf(`/proc/${pid}/cmdline`)).replaceAll("\0", " ");
}

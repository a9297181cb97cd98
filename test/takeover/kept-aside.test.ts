import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeOldAsides } from "../../agent/restore/aside-record.ts";
import { restore } from "../../agent/runs.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import { type EngineHost, newId, openEngineHost, textOf, type Work } from "../engine/engine-host.ts";
import { oldestAndNewest } from "../support/engines.ts";

// Who has taken over the control plane orders restores in place. What they replace is kept, whatever he asks for.

const DAY_MS = 86_400_000;
const OWNER = 4242;

describe("a restore in place that the control plane orders", () => {
  let host: EngineHost;
  let data: string;
  let work: Work;
  beforeEach(async () => {
    host = await openEngineHost(oldestAndNewest("restic")[1]);
    data = join(host.root, "data");
    for (const name of ["one", "two", "deep/three"]) await host.write(`data/${name}`, `old ${name}`);
    work = host.work();
    await guard();
  });
  afterEach(() => host.close());

  const guard = () => host.policy({ level: "guarded", repositories: [join(host.root, "srv/repository")] });
  const ordered = (request: Partial<RestoreRequest>, how: { trigger?: "manual"; keepReplaced?: boolean } = {}) =>
    restore(host.deps, {
      assignment: work.assignment,
      binding: work.binding,
      runId: newId(),
      trigger: "order",
      scheduledAt: null,
      signal: new AbortController().signal,
      restore: RestoreRequest.parse({ snapshot: "latest", ...request }),
      ...how,
    });
  const backUp = async () => expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  const spoil = async () => {
    await writeFile(join(data, "one"), "mine");
    await chmod(join(data, "one"), 0o640);
    await chown(join(data, "one"), OWNER, OWNER);
    await rm(join(data, "deep"), { recursive: true });
    await writeFile(join(data, "deep"), "a file now");
    await mkdir(join(data, "extra/deep"), { recursive: true });
    await writeFile(join(data, "extra/deep/file"), "new");
    await symlink("one", join(data, "extra/link"));
  };

  it("keeps what it replaces and removes, where nobody else looks, and says where", async () => {
    await backUp();
    await spoil();
    const outcome = await ordered({ delete: true });
    expect(outcome).toMatchObject({
      state: "succeeded",
      warnings: [],
      stats: { filesKeptAside: 4, filesDiffering: 0 },
    });
    const [place = ""] = outcome.stats?.keptAsideIn ?? [];
    expect(await textOf(join(place, data, "one"))).toBe("mine");
    const { mode, uid } = await stat(join(place, data, "one"));
    expect([mode & 0o777, uid]).toEqual([0o640, OWNER]);
    expect(await textOf(join(place, data, "deep"))).toBe("a file now");
    expect((await readdir(join(place, data, "extra"))).toSorted()).toEqual(["deep", "link"]);
    expect(await textOf(join(data, "deep/three"))).toBe("old deep/three");
    expect(await readdir(data)).toEqual(["deep", "one", "two"]);
    expect((await stat(join(place, ".."))).mode & 0o777).toBe(0o700);
    expect(restoreResultLines(outcome)).toContain(`replaced files are kept in ${place}`);
    const { log } = await host.report({ runId: outcome.runId });
    expect(log).toContain(`replaced files are kept in ${place} for 7 days`);
    // What is as it was needs no keeping.
    expect((await ordered({})).stats).not.toHaveProperty("filesKeptAside");
  });

  it("keeps a SQLite database that it replaces", async () => {
    const live = join(data, "live.db");
    const database = new DatabaseSync(live);
    database.exec("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('old')");
    work = host.work({ contract: { consistency: [{ sqlite: live }] } });
    await backUp();
    database.exec("UPDATE t SET a = 'mine'");
    database.close();
    const outcome = await ordered({ include: [live] });
    expect(outcome).toMatchObject({ state: "succeeded", stats: { databasesRestored: 1, filesKeptAside: 1 } });
    const held = (path: string) => {
      const opened = new DatabaseSync(path);
      const { a } = opened.prepare("SELECT a FROM t").get() ?? {};
      opened.close();
      return a;
    };
    expect(held(live)).toBe("old");
    expect(held(join(outcome.stats?.keptAsideIn?.[0] ?? "", live))).toBe("mine");
  });

  it("puts no SQLite database where a link of the sources' owner leads", async () => {
    const live = join(data, "app/live.db");
    await host.write("data/app/file", "");
    const database = new DatabaseSync(live);
    database.exec("CREATE TABLE t (a TEXT)");
    database.close();
    execFileSync("chown", ["-R", `${OWNER}:${OWNER}`, data]);
    work = host.work({ contract: { consistency: [{ sqlite: live }] } });
    await backUp();
    const outside = join(host.root, "outside");
    await mkdir(outside);
    await rm(join(data, "app"), { recursive: true });
    await symlink(outside, join(data, "app"));
    for (const request of [{ include: [live] }, { include: [live], dryRun: true }]) {
      expect(await ordered(request)).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    }
    expect(await readdir(outside)).toEqual([]);
    // A link that is a source is the owner's choice, too.
    work = host.work({ sources: [join(data, "app")] });
    expect(await ordered({})).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    expect(await readdir(outside)).toEqual([]);
  });

  it("keeps nothing where the host's policy is open; root at the terminal says whether it does", async () => {
    await backUp();
    await spoil();
    await host.policy({ level: "open" });
    expect((await ordered({})).stats).not.toHaveProperty("filesKeptAside");
    await writeFile(join(data, "one"), "mine");
    await guard();
    expect((await ordered({}, { trigger: "manual" })).stats).not.toHaveProperty("filesKeptAside");
    await writeFile(join(data, "one"), "mine");
    const kept = await ordered({}, { trigger: "manual", keepReplaced: true });
    expect(kept.stats).toMatchObject({ filesKeptAside: 1 });
  });

  it("keeps it for a week, and what a killed restore has left not at all", async () => {
    await backUp();
    await writeFile(join(data, "one"), "mine");
    const [place = ""] = (await ordered({})).stats?.keptAsideIn ?? [];
    const after = async (days: number) =>
      removeOldAsides({ paths: host.paths, clock: { now: () => Date.now() + days * DAY_MS }, log: () => undefined });
    await after(6.9);
    expect(await textOf(join(place, data, "one"))).toBe("mine");
    await after(7.1);
    expect(await readdir(host.paths.asideDir)).toEqual([]);

    // Another directory under its name is somebody else's.
    await writeFile(join(data, "one"), "mine");
    const [other = ""] = (await ordered({})).stats?.keptAsideIn ?? [];
    await rm(join(other, ".."), { recursive: true });
    await mkdir(join(other, "../new"), { recursive: true });
    await after(7.1);
    expect(await readdir(host.paths.asideDir)).toEqual([basename(dirname(other))]);
    await rm(dirname(other), { recursive: true });

    const left = join(host.paths.asideDir, "left");
    await mkdir(join(left, "new-1"), { recursive: true });
    const { dev, ino } = await stat(left, { bigint: true });
    const record = { path: left, device: String(dev), inode: String(ino), madeAt: new Date().toISOString() };
    const owner = { pid: 999_999_999, startTicks: "1@gone" };
    await writeFile(`${left}.json`, JSON.stringify({ ...record, owner, isKept: false }));
    await after(0);
    expect(await readdir(host.paths.asideDir)).toEqual([]);
  });

  it("on a file system that is all another's, writes aside and copies; what is kept there is in no backup", async () => {
    await rm(data, { recursive: true });
    await mkdir(data);
    execFileSync("mount", ["-t", "tmpfs", "-o", `uid=${OWNER},mode=755`, "tmpfs", data]);
    try {
      for (const name of ["one", "deep/three", "\u00fc/a b"]) await host.write(`data/${name}`, `old ${name}`);
      execFileSync("setfattr", ["-n", "trusted.holdfast", "-v", "kept", join(data, "one")]);
      execFileSync("chown", ["-R", `${OWNER}:${OWNER}`, data]);
      await backUp();
      await writeFile(join(data, "one"), "mine");
      await rm(join(data, "deep"), { recursive: true });
      const outcome = await ordered({});
      expect(outcome).toMatchObject({ state: "succeeded", stats: { filesMatching: 3, filesKeptAside: 1 } });
      expect([await textOf(join(data, "one")), await textOf(join(data, "deep/three"))]).toEqual([
        "old one",
        "old deep/three",
      ]);
      expect((await stat(join(data, "one"))).uid).toBe(OWNER);
      expect(execFileSync("getfattr", ["--only-values", "-n", "trusted.holdfast", join(data, "one")]).toString()).toBe(
        "kept",
      );
      const names = (await readdir(data)).filter((name) => name.startsWith("."));
      expect(names).toHaveLength(1);
      const [place = ""] = outcome.stats?.keptAsideIn ?? [];
      expect(await readFile(join(place, data, "one"), "utf8")).toBe("mine");
      expect((await stat(join(place, ".."))).mode & 0o777).toBe(0o700);
      await backUp();
      const [, second] = await host.reports().then((all) => all.filter(({ run }) => run.kind === "backup"));
      expect(second?.run.stats).toMatchObject({ filesTotal: 3 });
      // Nor is it removed for not being in a snapshot.
      expect(await ordered({ delete: true })).toMatchObject({ state: "succeeded", stats: { filesDeleted: 0 } });
      expect(await readFile(join(place, data, "one"), "utf8")).toBe("mine");
    } finally {
      execFileSync("umount", ["-l", data]);
    }
  });
});

describe("a dry run", () => {
  it("lists what is protected as not restored, with the reason", async () => {
    const host = await openEngineHost(oldestAndNewest("borg")[0]);
    try {
      await host.write("etc/app.conf", "of the snapshot");
      await host.policy({ hooks: "off" });
      const work = host.work({ sources: [join(host.root, "etc")] });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      await host.policy({ hooks: "named" });
      await writeFile(join(host.root, "etc/app.conf"), "changed");
      const outcome = await host.restore(work, { dryRun: true });
      expect(outcome).toMatchObject({ state: "succeeded", stats: { filesToUpdate: 1 } });
      expect(outcome.items).toContainEqual({
        path: host.paths.policyJson,
        action: "failed",
        reason: expect.stringContaining("is protected on this host"),
      });
      expect(outcome.items).toContainEqual({ path: join(host.root, "etc/app.conf"), action: "update" });
    } finally {
      await host.close();
    }
  });
});

import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import "../support/on-disk.ts";
import { ownProgram } from "../../agent/system/own-program.ts";
import { copySqlite } from "../../agent/consistency/sqlite-copy.ts";
import { type EngineHost, openEngineHost } from "../engine/engine-host.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import { newestRestic } from "../support/restic.ts";
import { heldBySqlite, isPrefix, startSqliteWriter, type Writer } from "./writers.ts";

const ROUNDS = 50;
const isRoot = process.getuid?.() === 0;
const compiled = join(import.meta.dirname, `../../dist/install/holdfast-agent-linux-${process.arch}`);

let writer: Writer | undefined;

/** Before anything of it is removed: it goes on writing. */
async function stopWriter(): Promise<void> {
  await writer?.stop();
  writer = undefined;
}

describe("a copy of a SQLite database that is written to all the time", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "holdfast-sqlite-"));
  });
  afterEach(async () => {
    await stopWriter();
    await rm(directory, { recursive: true, force: true });
  });

  it(`is intact and a prefix of what was committed, ${ROUNDS} times of ${ROUNDS}`, async () => {
    const live = join(directory, "live.db");
    writer = await startSqliteWriter(live, join(directory, "log"));
    const bad: unknown[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const copy = join(directory, `copy-${round}.db`);
      const before = writer.committed();
      await copySqlite(live, copy);
      const after = writer.committed();
      const { held, integrity } = heldBySqlite(copy);
      if (integrity !== "ok" || !isPrefix(held, before, after)) bad.push({ round, before, after, held, integrity });
      await rm(copy);
    }
    expect(bad).toEqual([]);
  });

  it.each([
    ["as it is run here", ownProgram()],
    ["as the one file that hosts get", [compiled]],
  ])("is made by the agent's own program %s", async (_what, [program = "", ...args]) => {
    const live = join(directory, "live.db");
    writer = await startSqliteWriter(live, join(directory, "log"));
    const before = writer.committed();
    execFileSync(program, [...args, "copy-sqlite", live, join(directory, "copy.db")], {
      stdio: ["ignore", "inherit", "pipe"],
    });
    const { held, integrity } = heldBySqlite(join(directory, "copy.db"));
    expect(integrity).toBe("ok");
    expect(isPrefix(held, before, writer.committed())).toBe(true);
    expect((await readdir(directory)).filter((name) => name.startsWith("copy"))).toEqual(["copy.db"]);
  });

  it("of a damaged database, or of no database at all, is refused in SQLite's own words", async () => {
    const live = join(directory, "live.db");
    const database = new DatabaseSync(live);
    database.exec("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a)");
    for (let n = 0; n < 500; n++) database.exec(`INSERT INTO t VALUES ('${"x".repeat(200)}${n}')`);
    database.close();
    const bytes = await readFile(live);
    bytes.fill(0x55, 20_000, 30_000);
    await writeFile(live, bytes);
    await expect(copySqlite(live, join(directory, "copy.db"))).rejects.toThrow(/damaged|malformed/);
    await writeFile(live, "no database, but long enough to be one".repeat(100));
    await expect(copySqlite(live, join(directory, "other.db"))).rejects.toThrow("file is not a database");
  });

  it("is correct also after a crash that left a journal to roll back", async () => {
    const live = join(directory, "live.db");
    const program = `
      const { DatabaseSync } = require("node:sqlite");
      const database = new DatabaseSync(process.argv[1]);
      database.exec("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('kept')");
      database.exec("BEGIN");
      for (let n = 0; n < 2000; n++) database.exec("INSERT INTO t VALUES ('" + "y".repeat(500) + "')");
      process.kill(process.pid, "SIGKILL");`;
    expect(() => execFileSync(process.execPath, ["-e", program, live], { stdio: "ignore" })).toThrow();
    expect(await readdir(directory)).toContain("live.db-journal");
    await copySqlite(live, join(directory, "copy.db"));
    const copy = new DatabaseSync(join(directory, "copy.db"));
    expect(copy.prepare("SELECT count(*) AS count FROM t").get()).toMatchObject({ count: 1 });
    copy.close();
  });
});

describe.each([newestRestic(), oldestAndNewest("borg")[0]])(
  "a contract with a SQLite database, with $provider $version",
  (engine) => {
    let host: EngineHost;
    beforeEach(async () => {
      host = await openEngineHost(engine);
      // On a machine others may walk through them.
      for (const name of ["var", "var/cache"]) {
        await mkdir(join(host.root, name));
        await chmod(join(host.root, name), 0o755);
      }
    });
    afterEach(async () => {
      await stopWriter();
      await host.close();
    });
    const out = (name: string): string => join(host.root, name);

    it("stores an intact copy in place of the live file, and restores it with owner and mode, in place or to a directory", async () => {
      const user = isRoot ? "nobody" : undefined;
      // A name that patterns would read as more than a name.
      const live = out("data/a [1]*.db");
      await host.write("data/plain", "beside it");
      writer = await startSqliteWriter(live, out("log"));
      await chmod(live, 0o640);
      for (const name of isRoot ? await readdir(out("data")) : []) await chown(out(`data/${name}`), 65_534, 65_534);
      if (isRoot) await chown(out("data"), 65_534, 65_534);
      const work = host.work({
        ...(user === undefined ? {} : { user }),
        contract: { consistency: [{ sqlite: live }] },
      });
      const before = writer.committed();
      const stored = await host.backup(work);
      const after = writer.committed();
      expect((await host.report({ runId: stored.runId })).run.warnings).toEqual([]);
      expect(stored).toMatchObject({ state: "succeeded", failure: null });
      await stopWriter();
      expect(await readdir(out("var/cache/holdfast/staging"))).toEqual([]);
      const listed = engine.provider === "restic" ? host.restic(work, "ls", stored.snapshot ?? "") : "";
      expect(listed).not.toContain("a [1]*.db");

      await host.restore(work, { snapshot: stored.snapshot ?? "", target: out("elsewhere") });
      const elsewhere = heldBySqlite(join(out("elsewhere"), live));
      expect(elsewhere.integrity).toBe("ok");
      expect(isPrefix(elsewhere.held, before, after)).toBe(true);
      expect(
        (await readdir(out("elsewhere"), { recursive: true })).filter((name) => /holdfast|staging/.test(name)),
      ).toEqual(
        (await readdir(out("elsewhere"), { recursive: true })).filter((name) => name.includes("holdfast-engine-")),
      );

      expect(await readdir(out("data"))).toContain("a [1]*.db-wal");
      await writeFile(live, "overwritten by mistake");
      const dry = await host.restore(work, { snapshot: stored.snapshot ?? "", dryRun: true });
      expect((await host.report({ runId: dry.runId })).run.items).toContainEqual({ path: live, action: "update" });
      const putBack = await host.restore(work, { snapshot: stored.snapshot ?? "", include: [live] });
      expect(putBack.state).toBe("succeeded");
      const { stats } = (await host.report({ runId: putBack.runId })).run;
      expect(stats).toMatchObject({ databasesRestored: 1 });
      expect(restoreResultLines({ stats, items: null })).toContain("put back 1 database");
      const { uid, mode } = await stat(live);
      expect(mode & 0o777).toBe(0o640);
      if (isRoot) expect(uid).toBe(65_534);
      expect((await readdir(out("data"))).toSorted()).toEqual(["a [1]*.db", "plain"]);
      const back = heldBySqlite(live);
      expect(back.integrity).toBe("ok");
      expect(back.held).toEqual(elsewhere.held);
    });
  },
);

describe("a contract with a SQLite database", () => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/plain", "x");
  });
  afterEach(() => host.close());
  const out = (name: string): string => join(host.root, name);
  const sqlite = (path: string) => host.work({ contract: { consistency: [{ sqlite: path }] } });

  it("that is missing, damaged or not allowed stores nothing", async () => {
    expect(await host.backup(sqlite(out("data/gone.db")))).toMatchObject({ failure: { code: "consistency.failed" } });
    await host.write("data/bad.db", "not a database at all, in more bytes than a header has".repeat(40));
    const bad = await host.backup(sqlite(out("data/bad.db")));
    expect(bad).toMatchObject({ state: "failed", snapshot: null, failure: { code: "consistency.failed" } });
    expect(bad.failure?.message).toContain("file is not a database");
    expect(await readdir(out("srv/repository/snapshots"))).toEqual([]);

    await mkdir(out("secret"));
    new DatabaseSync(out("secret/other.db")).exec("CREATE TABLE t (a)");
    await symlink(out("secret/other.db"), out("data/link.db"));
    await host.policy({ sources: [out("data")] });
    expect(await host.backup(sqlite(out("data/link.db")))).toMatchObject({ failure: { code: "policy.refused" } });
  });

  it("is restored in place only where the present contract names it, whatever the snapshot contains", async () => {
    new DatabaseSync(out("data/app.db")).exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    expect(await host.backup(sqlite(out("data/app.db")))).toMatchObject({ state: "succeeded" });
    const refused = await host.restore(host.work(), {});
    expect(refused).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    expect(refused.failure?.message).toContain("does not name any more");
    expect(await host.restore(host.work(), { target: out("aside") })).toMatchObject({ state: "succeeded" });
    expect(heldTables(join(out("aside"), out("data/app.db")))).toBe(1);
  });
});

function heldTables(path: string): number {
  const database = new DatabaseSync(path);
  const count = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.["count"];
  database.close();
  return Number(count);
}

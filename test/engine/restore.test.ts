import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { chmod, lstat, mkdir, readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { oneOfEach } from "../support/engines.ts";
import { type EngineHost, openEngineHost, textOf, type Work } from "./engine-host.ts";
import { describeTree, makeOddTree } from "./odd-tree.ts";

const ENGINES = oneOfEach();

// One snapshot per engine: what it holds is made once, wrecked before each restore, and given back.
describe.each(ENGINES)("a restore with $provider $version", (engine) => {
  let host: EngineHost;
  let data: string;
  let work: Work;
  let before: Record<string, unknown>;
  let snapshot: string;
  let targets = 0;

  beforeAll(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "data");
    makeOddTree(data);
    execFileSync("setfattr", ["-n", "user.holdfast", "-v", "kept", join(data, "script")]);
    execFileSync("truncate", ["-s", "20M", join(data, "sparse")]);
    writeFileSync(join(data, "sparse"), "at its beginning", { flag: "r+" });
    execFileSync("chown", ["-h", "12345:23456", join(data, "script"), join(data, "link"), join(data, "deep")]);
    execFileSync("chmod", ["4755", join(data, "script")]);
    execFileSync("mknod", [join(data, "null"), "c", "1", "3"]);
    await utimes(join(data, "deep"), 1_000_000_000, 1_000_000_000);
    work = host.work({ excludes: ["cache", "*.tmp"] });
    before = describeTree(data);
    const stored = await host.backup(work);
    if (stored.state !== "succeeded") throw new Error(`nothing to restore from: ${JSON.stringify(stored)}`);
    snapshot = stored.snapshot ?? "";
  });
  afterAll(() => host.close());

  const target = (): string => join(host.root, `restored-${++targets}`);
  const report = async () => (await host.report({ kind: "restore" })).run;
  const files = (): number => Object.values(before).filter((facts) => !isDirectory(facts)).length;

  it("restores to a directory every byte, mode, owner, time, link, attribute and hole, whatever the names", async () => {
    const to = target();
    expect(await host.restore(work, { target: to })).toMatchObject({ state: "succeeded", failure: null, snapshot });
    expect(describeTree(join(to, data))).toEqual(before);
    expect(
      execFileSync("getfattr", [
        "--only-values",
        "-n",
        "user.holdfast",
        "--absolute-names",
        join(to, data, "script"),
      ]).toString(),
    ).toBe("kept");
    const { size, blocks } = lstatSync(join(to, data, "sparse"));
    expect(size).toBe(20 << 20);
    // restic makes holes since 0.15.
    if (engine.version !== "0.14.0") expect(blocks * 512).toBeLessThan(size / 2);
    expect((await report()).stats).toMatchObject({ filesRestored: files() });
  });

  it("restores in place what was changed, replaced or deleted, and with `delete` exactly the snapshot", async () => {
    const elsewhere = await host.write("elsewhere/file", "not to be touched");
    wreck(data, elsewhere);
    mkdirSync(join(data, "deep/cache"));
    writeFileSync(join(data, "deep/cache/kept"), "never in a snapshot");
    writeFileSync(join(data, "work.tmp"), "never in a snapshot");

    const outcome = await host.restore(work, { delete: true });
    expect(outcome).toMatchObject({ state: "succeeded", failure: null });
    expect(await readFile(elsewhere, "utf8")).toBe("not to be touched");
    expect(await textOf(join(data, "deep/cache/kept"))).toBe("never in a snapshot");
    expect(outcome.stats).toMatchObject({ filesMatching: files(), filesDiffering: 0, filesDeleted: 5 });
    rmSync(join(data, "deep/cache"), { recursive: true });
    rmSync(join(data, "work.tmp"));
    await putTimesBack();
    expect(describeTree(data)).toEqual(before);
  });

  it("without `delete` leaves files that are not in the snapshot, and a dry run reports what it would do", async () => {
    const elsewhere = await host.write("elsewhere/file", "not to be touched");
    wreck(data, elsewhere);
    const wrecked = describeTree(data);
    const outcome = await host.restore(work, { dryRun: true, delete: true });
    expect(outcome).toMatchObject({ state: "succeeded", failure: null });
    expect(describeTree(data)).toEqual(wrecked);
    const said = (action: string) =>
      (outcome.items ?? []).flatMap((item) => (item.action === action ? [item.path.slice(data.length + 1)] : []));
    expect(said("create").toSorted()).toEqual(["deep/er", "deep/er/empty", "deep/three-of-three"]);
    expect(said("update").toSorted()).toEqual(
      ["$HOME", "#hash", "link", "one-of-three", "pipe", "two-of-three"].toSorted(),
    );
    expect(said("delete").toSorted()).toEqual(["deep/new", "extra", "extra/deeper", "extra/deeper/file", "extra/link"]);
    expect(outcome.stats).toMatchObject({ filesToCreate: 2, filesToUpdate: 6, filesToDelete: 5 });

    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await textOf(join(data, "deep/new"))).toBe("made after the backup");
    expect(await textOf(join(data, "extra/deeper/file"))).toBe("new");
    rmSync(join(data, "deep/new"));
    rmSync(join(data, "extra"), { recursive: true });
    await putTimesBack();
    expect(describeTree(data)).toEqual(before);
  });

  it("overwrites by its mode", async () => {
    const older = join(data, "tab\t");
    const newer = join(data, "~");
    const alike = join(data, "**");
    const missing = join(data, " spaces ");
    const spoil = async (): Promise<void> => {
      await writeFile(older, "older");
      await utimes(older, 900_000_000, 900_000_000);
      await writeFile(newer, "newer");
      await utimes(newer, 1_100_000_000, 1_100_000_000);
      await writeFile(alike, "content of !!");
      await utimes(alike, 1_000_000_000, 1_000_000_000.5);
      await rm(missing, { force: true });
    };
    const texts = async () => Promise.all([older, newer, alike, missing].map(textOf));
    const was = ["content of tab\t", "content of ~", "content of **", "content of  spaces "];
    await spoil();
    const never = await host.restore(work, { overwrite: "never" });
    expect(await texts()).toEqual(["older", "newer", "content of !!", was[3]]);
    expect(never).toMatchObject({ state: "succeeded", stats: { filesRestored: 1, filesDiffering: 3 } });
    await spoil();
    const ifNewer = await host.restore(work, { overwrite: "if-newer" });
    expect(await texts()).toEqual([was[0], "newer", "content of !!", was[3]]);
    expect(ifNewer).toMatchObject({ state: "succeeded", stats: { filesRestored: 2, filesSkipped: files() - 2 } });
    await spoil();
    const ifChanged = await host.restore(work, { overwrite: "if-changed" });
    expect(await texts()).toEqual([was[0], was[1], "content of !!", was[3]]);
    expect(ifChanged).toMatchObject({ state: "warned", stats: { filesRestored: 3, filesDiffering: 1 } });
    expect(ifChanged.items).toEqual([{ path: alike, action: "differs", reason: "content" }]);
    const always = await host.restore(work, { include: [alike] });
    expect(await texts()).toEqual(was);
    expect(always).toMatchObject({
      state: "succeeded",
      stats: { filesRestored: 1, filesMatching: 1, filesDiffering: 0 },
    });
    await putTimesBack();
    expect(describeTree(data)).toEqual(before);
  });

  it("restores files that changed their type, and lists the files it could not restore", async () => {
    const outside = join(host.root, "outside");
    await mkdir(outside);
    await rm(join(data, "script"));
    await mkdir(join(data, "script/in/the/way"), { recursive: true });
    await rm(join(data, "deep"), { recursive: true });
    await symlink(outside, join(data, "deep"));
    await rm(join(data, "#hash"));
    await mkdir(join(data, "#hash/mounted"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(data, "#hash/mounted")]);
    try {
      const outcome = await host.restore(work, { delete: true });
      expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
      expect(outcome.items).toMatchObject([{ path: join(data, "#hash"), action: "failed" }]);
      expect(outcome.warnings.join()).toContain(join(data, "#hash"));
      expect(await readdir(outside)).toEqual([]);
      expect((await lstat(join(data, "script"))).isFile()).toBe(true);
      expect((await lstat(join(data, "deep"))).isDirectory()).toBe(true);
    } finally {
      execFileSync("umount", [join(data, "#hash/mounted")]);
    }
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(describeTree(data)).toEqual(before);
  });

  it("restores a whole deleted tree, with its parent directories", async () => {
    const sources = [join(host.root, "kept/a/inner"), join(host.root, "kept/b")];
    await host.write("kept/a/inner/file", "one");
    await host.write("kept/b/deep/file", "two");
    const other = host.work({ sources });
    expect(await host.backup(other)).toMatchObject({ state: "succeeded" });
    await rm(join(host.root, "kept"), { recursive: true });
    expect(await host.restore(other, {})).toMatchObject({ state: "succeeded", stats: { filesMatching: 2 } });
    expect(await textOf(join(host.root, "kept/a/inner/file"))).toBe("one");
    expect((await stat(join(host.root, "kept/a"))).mode & 0o777).toBe(0o755);

    await chmod(join(host.root, "kept/a"), 0o711);
    await utimes(join(host.root, "kept/a"), 1_500_000_000, 1_500_000_000);
    await rm(join(host.root, "kept/a/inner/file"));
    expect(await host.restore(other, { include: [join(host.root, "kept/a/inner")] })).toMatchObject({
      state: "succeeded",
    });
    const parent = await stat(join(host.root, "kept/a"));
    expect([(parent.mode & 0o777).toString(8), parent.mtimeMs]).toEqual(["711", 1_500_000_000_000]);
  });

  it("takes chosen paths literally, and restores nothing when one is not in the snapshot", async () => {
    const to = target();
    const include = [join(data, "[a-z]*?"), join(data, "deep/er"), join(data, "-rf"), join(data, "two-of-three")];
    expect(await host.restore(work, { snapshot, target: to, include })).toMatchObject({ state: "succeeded" });
    expect((await readdir(join(to, data))).toSorted()).toEqual(["-rf", "[a-z]*?", "deep", "two-of-three"]);
    expect(await readdir(join(to, data, "deep"))).toEqual(["er"]);

    const none = target();
    const absent = await host.restore(work, {
      snapshot,
      target: none,
      include: [join(data, "link"), join(data, "no-such")],
    });
    expect(absent).toMatchObject({ state: "failed", failure: { code: "restore.nothing_matched" } });
    expect(absent.failure?.message).toContain("no-such");
    expect(await readdir(none)).toEqual([]);
  });

  it("knows the binding's snapshots only, by the beginning of their ids", async () => {
    const short = await host.restore(work, {
      target: target(),
      snapshot: snapshot.slice(0, 8),
      include: [join(data, "~")],
    });
    expect(short).toMatchObject({ state: "succeeded", snapshot });
    const refused = await host.restore(work, { target: target(), snapshot: "0".repeat(64) });
    expect(refused.failure?.code).toBe("snapshot.missing");
  });

  /** The directories whose times the test itself has changed, by removing what was to stay. */
  async function putTimesBack(): Promise<void> {
    await utimes(join(data, "deep"), 1_000_000_000, 1_000_000_000);
    const { mtime } = before[""] as { mtime: number };
    await utimes(data, (mtime + 0.5) / 1000, (mtime + 0.5) / 1000);
  }
});

function isDirectory(facts: unknown): boolean {
  return (facts as { mode: string }).mode.startsWith("4");
}

function wreck(data: string, elsewhere: string): void {
  writeFileSync(join(data, "one-of-three"), "changed through every name");
  for (const name of ["$HOME", "#hash", "link", "pipe", "deep/three-of-three"]) rmSync(join(data, name));
  symlinkSync(elsewhere, join(data, "$HOME"));
  // As long and as old as it was: only its content tells.
  writeFileSync(join(data, "#hash"), "content of HASH!", { mode: 0o640 });
  utimesSync(join(data, "#hash"), 1_000_000_000, 1_000_000_000.5);
  symlinkSync("elsewhere", join(data, "link"));
  writeFileSync(join(data, "pipe"), "no pipe");
  rmSync(join(data, "deep/er"), { recursive: true });
  writeFileSync(join(data, "deep/new"), "made after the backup");
  mkdirSync(join(data, "extra/deeper"), { recursive: true });
  writeFileSync(join(data, "extra/deeper/file"), "new");
  symlinkSync(join(elsewhere, ".."), join(data, "extra/link"));
}

import { chmod, lstat, mkdir, readFile, readdir, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { everyRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost } from "./engine-host.ts";
import { describeTree, makeOddTree } from "./odd-tree.ts";

describe.each(everyRestic())("a restore with restic $version", (restic) => {
  let host: EngineHost;
  let data: string;
  beforeEach(async () => {
    host = await openEngineHost(restic);
    data = join(host.root, "data");
    makeOddTree(data);
  });
  afterEach(() => host.close());

  it("gives back to a directory every byte, mode, owner, time and link, whatever the names", async () => {
    const before = describeTree(data);
    const work = host.work();
    const stored = await host.backup(work);
    expect(stored).toMatchObject({ state: "succeeded", failure: null });

    const target = join(host.root, "restored");
    const outcome = await host.restore(work, { target });
    expect(outcome).toMatchObject({ state: "succeeded", failure: null, snapshot: stored.snapshot });
    expect(describeTree(join(target, data))).toEqual(before);
    const { run, snapshots } = await host.report({ kind: "restore" });
    const others = Object.values(before).filter((facts) => !(facts as { mode: string }).mode.startsWith("4"));
    expect(run.stats?.filesRestored).toBe(others.length);
    expect(snapshots).toHaveLength(1);
  });

  it("gives back in place what was changed, replaced or deleted, hard links too", async () => {
    const before = describeTree(data);
    const work = host.work();
    await host.backup(work);
    const elsewhere = await host.write("elsewhere", "not to be touched");
    await writeFile(join(data, "one-of-three"), "changed through every name");
    await rm(join(data, "$HOME"));
    await symlink(elsewhere, join(data, "$HOME"));
    await rm(join(data, "deep/er"), { recursive: true });
    await rm(join(data, "deep/three-of-three"));
    await writeFile(join(data, "deep/new"), "made after the backup");

    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await readFile(elsewhere, "utf8")).toBe("not to be touched");
    await rm(join(data, "deep/new"));
    await utimes(join(data, "deep"), 1_000_000_000, 1_000_000_000);
    expect(describeTree(data)).toEqual(before);
  });

  it("leaves the directories above the sources as they are now", async () => {
    const inner = join(host.root, "srv/inner");
    await mkdir(inner, { recursive: true });
    await writeFile(join(inner, "file"), "one");
    await chmod(join(host.root, "srv"), 0o755);
    const work = host.work({ sources: [inner] });
    await host.backup(work);
    await chmod(join(host.root, "srv"), 0o711);
    await utimes(join(host.root, "srv"), 1_500_000_000, 1_500_000_000);
    await rm(join(inner, "file"));

    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded" });
    expect(await readFile(join(inner, "file"), "utf8")).toBe("one");
    const parent = await stat(join(host.root, "srv"));
    expect((parent.mode & 0o777).toString(8)).toBe("711");
    expect(parent.mtimeMs).toBe(1_500_000_000_000);
  });

  it("of chosen paths takes them literally and restores nothing else", async () => {
    const work = host.work();
    await host.backup(work);
    const target = join(host.root, "restored");
    const include = [join(data, "[a-z]*?"), join(data, "deep/er")];
    expect(await host.restore(work, { target, include })).toMatchObject({ state: "succeeded" });
    expect((await readdir(join(target, data))).toSorted()).toEqual(["[a-z]*?", "deep"]);
    expect(await readdir(join(target, data, "deep"))).toEqual(["er"]);
  });

  it("of a path the snapshot does not hold fails, having restored nothing", async () => {
    const work = host.work();
    await host.backup(work);
    const target = join(host.root, "restored");
    const include = [join(data, "link"), join(data, "no-such-file")];
    const outcome = await host.restore(work, { target, include });
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.nothing_matched" } });
    expect(outcome.failure?.message).toContain("no-such-file");
    expect(await readdir(target)).toEqual([]);
  });

  it("names each file it could not restore, and has failed", async () => {
    const work = host.work();
    await host.backup(work);
    await rm(join(data, "script"));
    await mkdir(join(data, "script"));
    await writeFile(join(data, "script/in the way"), "");
    const outcome = await host.restore(work, { include: [join(data, "script")] });
    if (outcome.state === "succeeded") {
      // From 0.17 on a directory in a file's place is replaced.
      expect((await lstat(join(data, "script"))).isFile()).toBe(true);
    } else {
      expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
      expect((await host.report({ kind: "restore" })).run.warnings[0]).toContain(join(data, "script"));
    }
  });

  it("knows the binding's snapshots only, by the beginning of their ids", async () => {
    const work = host.work();
    const { snapshot } = await host.backup(work);
    host.restic(work, "backup", "--host", "another", "--tag", "another", data);
    const target = (name: string): string => join(host.root, name);
    const short = await host.restore(work, { target: target("a"), snapshot: snapshot?.slice(0, 8) ?? "" });
    expect(short).toMatchObject({ state: "succeeded", snapshot });
    const latest = await host.restore(work, { target: target("b") });
    expect(latest.snapshot).toBe(snapshot);
    const foreign = JSON.parse(host.restic(work, "snapshots", "--json", "--host", "another"))[0].id;
    const refused = await host.restore(work, { target: target("c"), snapshot: foreign });
    expect(refused.failure?.code).toBe("snapshot.missing");
  });

  it("into a directory that holds something is refused", async () => {
    const work = host.work();
    await host.backup(work);
    const outcome = await host.restore(work, { target: host.root });
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
  });

  it.each(["", "/"])(
    "in place follows a source that is a symbolic link, there and back, ending in '%s'",
    async (end) => {
      await rename(data, join(host.root, "real"));
      await symlink("real", data);
      const before = describeTree(join(host.root, "real"));
      const work = host.work({ sources: [`${data}${end}`] });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      await rm(join(host.root, "real/script"));
      expect(await host.restore(work, { include: [join(data, "script")] })).toMatchObject({ state: "succeeded" });
      await utimes(join(host.root, "real"), 1, 1);
      const { "": _root, ...after } = describeTree(join(host.root, "real"));
      const { "": _rootBefore, ...files } = before;
      expect(after).toEqual(files);
    },
  );
});

import { execFileSync } from "node:child_process";
import { mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { oldestAndNewest } from "../support/engines.ts";
import { type EngineHost, openEngineHost, textOf, type Work } from "./engine-host.ts";

// Where a restore may write and remove: the same for every tool, so one of them is enough.
describe("the target of a restore", () => {
  let host: EngineHost;
  let data: string;
  let work: Work;
  beforeEach(async () => {
    host = await openEngineHost(oldestAndNewest("borg")[0]);
    data = join(host.root, "data");
    await host.write("data/file", "of the snapshot");
    await host.write("data/inside/file", "of the snapshot");
    work = host.work();
    const stored = await host.backup(work);
    if (stored.state !== "succeeded") throw new Error(`nothing to restore from: ${JSON.stringify(stored)}`);
  });
  afterEach(() => host.close());

  it("may be a non-empty directory only when the request says what to overwrite, and the policy allows it", async () => {
    const target = join(host.root, "target");
    const mine = await host.write(`target${data}/file`, "of mine");
    const more = await host.write(`target${data}/more`, "of mine");
    const refused = await host.restore(work, { target });
    expect(refused).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    expect(refused.failure?.next).toContain("overwrite if-changed");
    expect(await host.restore(work, { target: mine })).toMatchObject({ state: "failed" });
    expect(await host.restore(work, { target: "/", overwrite: "never" })).toMatchObject({ state: "failed" });

    await host.policy({ restore: "staging" });
    const staged = await host.restore(work, { target, delete: true });
    expect(staged).toMatchObject({ failure: { code: "policy.refused" } });
    await host.policy({ sources: [data] });
    const outside = await host.restore(work, { target, delete: true });
    expect(outside).toMatchObject({ failure: { code: "policy.refused" } });
    expect([await textOf(mine), await textOf(more)]).toEqual(["of mine", "of mine"]);

    await host.policy({});
    expect(await host.restore(work, { target, overwrite: "never" })).toMatchObject({ state: "succeeded" });
    expect([await textOf(mine), await textOf(join(target, data, "inside/file"))]).toEqual([
      "of mine",
      "of the snapshot",
    ]);
    expect(await host.restore(work, { target, delete: true })).toMatchObject({ state: "succeeded" });
    expect(await readdir(join(target, data))).toEqual(["file", "inside"]);
    expect(await textOf(mine)).toBe("of the snapshot");
  });

  it("is not created by a dry run", async () => {
    const target = join(host.root, "target");
    const outcome = await host.restore(work, { target, dryRun: true });
    expect(outcome).toMatchObject({
      state: "succeeded",
      stats: { filesToCreate: 2, filesToUpdate: 0, filesToDelete: 0 },
    });
    expect(await readdir(host.root)).not.toContain("target");
  });

  it("is never another file system mounted inside, nor the agent's own state", async () => {
    await rm(join(data, "inside/file"));
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(data, "inside")]);
    await mkdir(join(data, "extra/mounted"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(data, "extra/mounted")]);
    try {
      await writeFile(join(data, "inside/mine"), "on another filesystem");
      await writeFile(join(data, "extra/gone"), "");
      await writeFile(join(data, "extra/mounted/mine"), "on another filesystem");
      expect(await host.restore(work, { delete: true })).toMatchObject({
        state: "succeeded",
        stats: { filesDeleted: 1 },
      });
      expect((await readdir(join(data, "inside"))).toSorted()).toEqual(["file", "mine"]);
      expect(await readdir(join(data, "extra"))).toEqual(["mounted"]);
      expect(await readdir(join(data, "extra/mounted"))).toEqual(["mine"]);
    } finally {
      execFileSync("umount", [join(data, "inside")]);
      execFileSync("umount", [join(data, "extra/mounted")]);
    }

    const everything = host.work({ sources: [host.root], excludes: ["var"] });
    expect(await host.backup(everything)).toMatchObject({ state: "succeeded" });
    const unkept = host.work({ sources: [host.root] });
    expect(await host.restore(unkept, { delete: true, verify: false })).toMatchObject({ state: "succeeded" });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  });

  it("in place follows a source that is a symbolic link, with or without a trailing slash", async () => {
    await rename(data, join(host.root, "real"));
    await symlink("real", data);
    for (const end of ["", "/"]) {
      const linked = host.work({ sources: [`${data}${end}`] });
      expect(await host.backup(linked)).toMatchObject({ state: "succeeded" });
      await rm(join(host.root, "real/file"));
      expect(await host.restore(linked, { include: [join(data, "file")] })).toMatchObject({ state: "succeeded" });
      expect(await textOf(join(host.root, "real/file"))).toBe("of the snapshot");
    }
  });
});

import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EngineHost, type Work } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";

const isRoot = process.getuid?.() === 0;

describe("suspicious sources", () => {
  let host: EngineHost;
  const mounted: string[] = [];
  const out = (name: string): string => join(host.root, name);
  const mount = (name: string): void => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=755", "holdfast-test", out(name)]);
    mounted.push(out(name));
  };
  const unmount = (name: string): void => {
    execFileSync("umount", [out(name)]);
    mounted.splice(mounted.indexOf(out(name)), 1);
  };
  const fill = async (count: number): Promise<void> => {
    await rm(out("data"), { recursive: true, force: true });
    for (let file = 0; file < count; file++) await host.write(`data/many/${file}`, "x");
  };
  const snapshots = (): Promise<string[]> => readdir(out("srv/repository/snapshots"));
  const keepOne = (): Work => host.work({ settings: { retention: { keep_last: 1 } } });
  beforeEach(async () => {
    host = await openReadyHost();
  });
  afterEach(async () => {
    for (const path of mounted.splice(0)) execFileSync("umount", ["-l", path]);
    await host.close();
  });

  it("with far less in them than usual are stored and reported, and keep the old snapshots, until that is normal", async () => {
    await host.policy({ level: "open", keep: { snapshots: 1, days: 0 } });
    await fill(60);
    expect((await host.backup(keepOne())).state).toBe("succeeded");
    await fill(20);
    const states: string[] = [];
    for (let time = 0; time < 3; time++) {
      const { state, runId } = await host.backup(keepOne());
      const { suspicious, run } = await host.report({ runId });
      states.push(state);
      if (time > 0) continue;
      expect(suspicious).toBe("the sources hold 20 files of 20 bytes, and usually 60 files of 60 bytes");
      expect(run.warnings).toEqual([suspicious]);
      expect(await snapshots()).toHaveLength(2);
    }
    expect(states).toEqual(["warned", "warned", "succeeded"]);
    expect(await snapshots()).toHaveLength(1);
  });

  it("are not compared with backups of other sources or other patterns", async () => {
    await fill(60);
    const few = await host.write("few/file", "x");
    expect((await host.backup(keepOne())).state).toBe("succeeded");
    expect((await host.backup(host.work({ sources: [few] }))).state).toBe("succeeded");
    expect((await host.backup(keepOne())).state).toBe("succeeded");
    expect((await host.backup(host.work({ excludes: ["[1-9]*"] }))).state).toBe("succeeded");
  });

  it("are not stored at all when the settings say fail, and a person can accept them", async () => {
    const failing = host.work({ settings: { shrinkage: { action: "fail" } } });
    await fill(60);
    await writeFile(out("data/big"), Buffer.alloc(3 << 20));
    await host.backup(failing);
    const [before] = await snapshots();
    await rm(out("data/big"));
    const outcome = await host.backup(failing);
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "source.shrunk" } });
    expect((await host.report({ runId: outcome.runId })).suspicious).toContain("60 files of 60 bytes");
    expect(await snapshots()).toEqual([before]);
    expect(await host.backup(failing, { acceptSources: true })).toMatchObject({ state: "succeeded" });
    expect(await host.backup(failing)).toMatchObject({ state: "succeeded" });
  });

  it("are not reported for few files, for excluded ones, or when the check is off", async () => {
    const leftOut = host.work({ excludes: ["cache"] });
    await fill(9);
    for (let file = 0; file < 50; file++) await host.write(`data/cache/${file}`, "x");
    expect((await host.backup(leftOut)).state).toBe("succeeded");
    await fill(1);
    expect((await host.backup(leftOut)).state).toBe("succeeded");
    await fill(60);
    await host.backup(leftOut, { acceptSources: true });
    await fill(1);
    expect((await host.backup(host.work({ settings: { shrinkage: { percent: null } } }))).state).toBe("succeeded");
  });

  it.runIf(isRoot)("are on a missing mount: nothing is stored", async () => {
    await mkdir(out("disk/photos"), { recursive: true });
    await host.write("disk/photos/stray", "written while nothing was mounted");
    const declared = host.work({ sources: [out("disk/photos")], contract: { mountPoints: [out("disk")] } });
    const unmounted = await host.backup(declared);
    expect(unmounted).toMatchObject({ state: "failed", snapshot: null, failure: { code: "source.unmounted" } });
    expect((await host.report({ runId: unmounted.runId })).suspicious).toBe(`${out("disk")}: nothing is mounted there`);
    mount("disk");
    await host.write("disk/photos/real", "a photo");
    expect(await host.backup(declared)).toMatchObject({ state: "succeeded" });
  });

  it.runIf(isRoot)("are on another file system than at the last good run: reported without any setting", async () => {
    await mkdir(out("disk with space/photos"), { recursive: true });
    await host.write("disk with space/photos/stray", "x");
    mount("disk with space");
    await host.write("disk with space/photos/real", "a photo");
    const work = host.work({ sources: [out("disk with space/photos")] });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    unmount("disk with space");
    const gone = await host.backup(work);
    expect(gone).toMatchObject({ state: "failed", failure: { code: "source.unmounted" } });
    expect(gone.failure?.message).toContain(`mounted at ${out("disk with space")}`);
    expect(await snapshots()).toHaveLength(1);
    // It goes on being told, until somebody mounts it or says that it has moved.
    expect(await host.backup(work)).toMatchObject({ failure: { code: "source.unmounted" } });
    expect(await host.backup(work, { acceptSources: true })).toMatchObject({ state: "succeeded" });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  });
});

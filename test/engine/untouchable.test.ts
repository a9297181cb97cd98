import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IS_WHOLE, oldestAndNewest, oneOfEach } from "../support/engines.ts";
import { type EngineHost, openEngineHost, type Work } from "./engine-host.ts";

// In the directories of others, everything is written aside first.
const OWNERS = [0, 12_345];
const CASES = IS_WHOLE
  ? [...oldestAndNewest("restic"), ...oldestAndNewest("borg")].flatMap((engine) =>
      OWNERS.map((owner) => ({ ...engine, owner })),
    )
  : oneOfEach().map((engine, index) => ({ ...engine, owner: OWNERS[index] ?? 0 }));
const LOCKED = ["appended", "immutable", "mounted/file"];

describe.each(CASES)("what can't be written, with $provider $version, in directories of user $owner,", (engine) => {
  const { owner } = engine;
  let host: EngineHost;
  let data: string;
  let work: Work;
  let program: ChildProcess | null = null;

  beforeEach(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "data");
    mkdirSync(join(data, "mounted"), { recursive: true });
    mkdirSync(join(data, "frozen"));
    symlinkSync("nowhere", join(data, "frozen/link"));
    for (const name of [...LOCKED, "plain"]) writeFileSync(join(data, name), name);
    writeFileSync(join(data, "program"), "of the snapshot");
    execFileSync("chown", ["-h", "-R", `${owner}:${owner}`, data]);
    protect();
    work = host.work();
    await host.backup(work);
  });
  afterEach(async () => {
    program?.kill();
    unlock();
    await host.close();
  });

  const protect = (): void => {
    execFileSync("chattr", ["+i", join(data, "immutable"), join(data, "frozen")]);
    execFileSync("chattr", ["+a", join(data, "appended")]);
  };
  const lock = (): void => {
    protect();
    execFileSync("mount", ["--bind", join(data, "mounted"), join(data, "mounted")]);
    execFileSync("mount", ["-o", "remount,bind,ro", join(data, "mounted")]);
  };
  const unlock = (): void => {
    spawnSync("umount", ["-l", join(data, "mounted")], { stdio: "ignore" });
    spawnSync("chattr", ["-R", "-f", "-ia", data], { stdio: "ignore" });
  };
  const run = (): void => {
    rmSync(join(data, "program"));
    copyFileSync("/bin/sleep", join(data, "program"));
    program = spawn(join(data, "program"), ["600"], { stdio: "ignore" });
  };

  it("counts as restored when it is as in the snapshot, else it is named and counted once", async () => {
    lock();
    run();
    const same = await host.restore(work, {});
    expect(same).toMatchObject({
      state: "succeeded",
      failure: null,
      warnings: [],
      stats: { filesRestored: 2, filesSkipped: 4, filesMatching: 6, filesDiffering: 0 },
    });
    expect(same.items).toEqual([]);
    expect(readFileSync(join(data, "program"), "utf8")).toBe("of the snapshot");

    unlock();
    writeFileSync(join(data, "immutable"), "something else");
    chmodSync(join(data, "appended"), 0o600);
    writeFileSync(join(data, "mounted/file"), "something else");
    lock();
    const other = await host.restore(work, {});
    expect(other).toMatchObject({
      state: "failed",
      failure: { code: "restore.incomplete" },
      stats: { filesRestored: 2, filesSkipped: 1, filesMatching: 3, filesDiffering: 3 },
    });
    expect(other.failure?.message).toBe("3 of 6 files were not restored");
    const items = new Map(other.items?.map(({ path, reason }) => [path, reason]));
    expect([...items.keys()].toSorted()).toEqual(LOCKED.map((name) => join(data, name)));
    expect(items.get(join(data, "appended"))).toMatch(/^the content is as in the snapshot, but its mode could not be /);
    for (const reason of items.values()) expect(reason).not.toContain("/proc/");
    expect(other.warnings).toHaveLength(3);

    // restic does not store file flags.
    if (engine.provider === "restic") return;
    unlock();
    rmSync(data, { recursive: true });
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", stats: { filesRestored: 6 } });
    const flagged = ["immutable", "appended", "frozen"].map((name) => join(data, name));
    const flags = execFileSync("lsattr", ["-d", ...flagged], { encoding: "utf8" });
    expect(flags.split("\n").map((line) => line.split(" ")[0]?.replaceAll(/[-e]/g, ""))).toEqual(["i", "a", "i", ""]);
  });
});

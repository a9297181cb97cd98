import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listSnapshots } from "../../agent/runner.ts";
import { everyRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost, textOf } from "./engine-host.ts";

describe.each(everyRestic())("a repository, with restic $version,", (restic) => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  it("is created by the first backup, once, and remembered by its id", async () => {
    const work = host.work();
    expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
    const first = await host.report({ kind: "backup" });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    const second = await host.report({ kind: "backup" });

    const { id } = JSON.parse(host.restic(work, "cat", "config"));
    expect([first.engineId, second.engineId]).toEqual([id, id]);
    expect(second.snapshots?.map((snapshot) => snapshot.id)).toEqual([first.run.snapshot, second.run.snapshot]);
    expect(second.run.snapshot).toMatch(/^[0-9a-f]{64}$/);
    expect(first.log).toContain("creating repository");
    expect(second.log).not.toContain("creating repository");
  });

  it("that was there is never created again where it is gone", async () => {
    const work = host.work();
    await host.backup(work);
    await rename(join(host.root, "srv/repository"), join(host.root, "unmounted"));
    await mkdir(join(host.root, "srv/repository"));

    expect(await host.backup(work)).toMatchObject({
      state: "failed",
      snapshot: null,
      failure: { code: "repository.missing", next: expect.stringContaining("never created a second time") },
    });
    expect(await readdir(join(host.root, "srv/repository"))).toEqual([]);
  });

  it("that only the control plane remembers is not created again either", async () => {
    const work = host.work({ engineId: "ab".repeat(32), passphrase: { file: await host.write("pass", "it\n") } });
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "repository.missing" } });
    expect(await readdir(host.root)).not.toContain("srv");
  });

  it("said to exist is not created, and a damaged one is not taken for new", async () => {
    const passphrase = { file: await host.write("pass", "it\n") };
    const existing = await host.backup(host.work({ existing: true, passphrase }));
    expect(existing.failure?.code).toBe("repository.missing");

    await mkdir(join(host.root, "srv/repository/keys"), { recursive: true });
    const damaged = await host.backup(host.work({ passphrase }));
    expect(damaged.failure).toMatchObject({ code: "repository.missing", message: expect.stringContaining("keys") });
    expect(await readdir(join(host.root, "srv/repository"))).toEqual(["keys"]);
  });

  it("in whose place another one stands is not written to", async () => {
    const work = host.work();
    await host.backup(work);
    const place = join(host.root, "srv/repository");
    await rm(place, { recursive: true });
    host.restic(work, "init");

    const swapped = await host.backup(work);
    expect(swapped).toMatchObject({ state: "failed", failure: { code: "repository.swapped" } });
    expect(await readdir(join(place, "snapshots"))).toEqual([]);
  });

  it("that the passphrase does not open fails with that word", async () => {
    await host.backup(host.work({ passphrase: { file: await host.write("pass", "right\n") } }));
    const wrong = await host.backup(host.work({ passphrase: { file: await host.write("wrong", "wrong\n") } }));
    expect(wrong).toMatchObject({ state: "failed", failure: { code: "repository.wrong_passphrase" } });
  });

  it("whose generated passphrase is gone fails before anything else, and gets no new one", async () => {
    const work = host.work();
    await host.backup(work);
    const secret = join(host.paths.secretsDir, work.binding.repository);
    await rm(secret);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "secret.unreadable" } });
    expect(await textOf(secret)).toBe("");
  });

  it("that can't be reached is not taken for missing, and so not created", async () => {
    const work = host.work({ location: "rest:http://127.0.0.1:1/nas" });
    const { state, failure } = await host.backup(work);
    expect({ state, code: failure?.code }).toEqual({ state: "failed", code: "repository.unreachable" });
    expect((await host.report({ kind: "backup" })).log).not.toContain("creating");
  });

  it("without a backup yet lists nothing, and says why", async () => {
    await expect(listSnapshots(host.deps, host.work())).rejects.toMatchObject({
      failure: { code: "secret.unreadable", next: expect.stringContaining("first backup") },
    });
    const passphrase = { file: await host.write("pass", "it\n") };
    await expect(listSnapshots(host.deps, host.work({ passphrase }))).rejects.toMatchObject({
      failure: { code: "repository.missing", message: expect.stringContaining("yet") },
    });
  });

  it("is worked on by one run at a time on this host", async () => {
    const work = host.work();
    const outcomes = await Promise.all([host.backup(work), host.backup(work), host.backup(work)]);
    expect(outcomes.map(({ state }) => state)).toEqual(["succeeded", "succeeded", "succeeded"]);
    expect(new Set(outcomes.map(({ snapshot }) => snapshot)).size).toBe(3);
    const logs = (await host.reports()).map(({ log }) => log).join("");
    expect(logs.match(/waiting for it/g)).toHaveLength(2);
  });
});

describe("without restic", () => {
  it("a run fails with that word, and with what is there instead", async () => {
    const host = await openEngineHost({ provider: "restic", version: "none", path: "/nowhere/restic" });
    const missing = await host.backup(host.work());
    await writeFile(join(host.root, "restic"), "#!/bin/sh\necho restic 0.12.1 compiled with go\n");
    await chmod(join(host.root, "restic"), 0o755);
    process.env["HOLDFAST_RESTIC"] = join(host.root, "restic");
    const old = await host.backup(host.work());
    await host.close();
    expect(missing.failure?.code).toBe("engine.missing");
    expect(old.failure?.code).toBe("engine.unsupported");
  });
});

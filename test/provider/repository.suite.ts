import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listSnapshots } from "../../agent/runs.ts";
import { type EngineHost, newId, openEngineHost } from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";
import { BY_TOOL } from "./by-tool.ts";

/** What `Provider.open` promises, and that nothing of another binding is ever seen. */
export function repositorySuite(engine: FoundEngine): void {
  const tool = BY_TOOL[engine.provider];

  describe(`a repository, with ${engine.provider} ${engine.version},`, () => {
    let host: EngineHost;
    let place: string;
    beforeEach(async () => {
      host = await openEngineHost(engine);
      place = join(host.root, "srv/repository");
      await host.write("data/file", "one");
    });
    afterEach(() => host.close());

    it("is created by the first backup, once, remembered by its id, and holds each binding's own snapshots", async () => {
      const work = host.work();
      const other = { ...work, binding: { ...work.binding, id: newId(), name: "other" } };
      expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
      const first = await host.report({ kind: "backup" });
      expect(await host.backup(other)).toMatchObject({ state: "succeeded" });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      const second = await host.report({ kind: "backup" });

      expect(first.log).toContain("creating repository");
      expect(second.log).not.toContain("creating repository");
      expect(first.engineId).toMatch(/^[0-9a-f]{64}$/);
      expect(second.engineId).toBe(first.engineId);
      expect(second.snapshots?.map(({ id }) => id)).toEqual([first.run.snapshot, second.run.snapshot]);
      expect(second.run.snapshot).toMatch(/^[0-9a-f]{64}$/);
      expect(tool.ids(host, work)).toHaveLength(3);
      const foreign = (await listSnapshots(host.deps, other))[0]?.id ?? "";
      const refused = await host.restore(work, { target: join(host.root, "out"), snapshot: foreign });
      expect(refused.failure?.code).toBe("snapshot.missing");
    });

    it("that existed is never created again where it is missing, whoever knows it", async () => {
      const passphrase = { file: await host.write("pass", "it\n") };
      const work = host.work({ passphrase });
      await host.backup(work);
      await rename(place, join(host.root, "unmounted"));
      await mkdir(place);
      const gone = await host.backup(work);
      expect(gone).toMatchObject({ state: "failed", snapshot: null, failure: { code: "repository.missing" } });
      expect(gone.failure?.next).toContain("never created a second time");

      await rm(join(host.paths.repositoriesDir), { recursive: true });
      const known = host.work({ passphrase, engineId: "ab".repeat(32) });
      expect((await host.backup(known)).failure?.code).toBe("repository.missing");
      const existing = host.work({ passphrase, existing: true });
      expect((await host.backup(existing)).failure?.code).toBe("repository.missing");
      await expect(listSnapshots(host.deps, host.work({ passphrase }))).rejects.toMatchObject({
        failure: { code: "repository.missing", message: expect.stringContaining("yet") },
      });
      expect(await readdir(place)).toEqual([]);
    });

    it("that is damaged is not treated as new", async () => {
      await mkdir(join(place, tool.part), { recursive: true });
      const damaged = await host.backup(host.work());
      expect(damaged.failure).toMatchObject({
        code: "repository.missing",
        message: expect.stringContaining(tool.part),
      });
      expect(await readdir(place)).toEqual([tool.part]);
    });

    it("that was replaced by another one is not written to", async () => {
      const work = host.work();
      await host.backup(work);
      await rm(place, { recursive: true });
      host.byHand(work, ...tool.init);
      expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "repository.swapped" } });
      expect(tool.ids(host, work)).toEqual([]);
    });

    it("that the passphrase does not open, or that can't be reached, is distinguished from a missing one", async () => {
      await host.backup(host.work({ passphrase: { file: await host.write("pass", "right\n") } }));
      const wrong = await host.backup(host.work({ passphrase: { file: await host.write("wrong", "wrong\n") } }));
      expect(wrong).toMatchObject({ state: "failed", failure: { code: "repository.wrong_passphrase" } });
      await rm(host.paths.repositoriesDir, { recursive: true });
      const away = await host.backup(host.work({ location: tool.unreachable }));
      expect(away).toMatchObject({ state: "failed", failure: { code: "repository.unreachable" } });
      expect((await host.report({ kind: "backup" })).log).not.toContain("creating");
    });

    it("is used by one run at a time, and needs nothing from the cache", async () => {
      const work = host.work();
      const outcomes = await Promise.all([host.backup(work), host.backup(work)]);
      expect(outcomes.map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
      const logs = (await host.reports()).map(({ log }) => log).join("");
      expect(logs.match(/waiting for it/g)).toHaveLength(1);
      await rm(host.paths.cache, { recursive: true });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
      expect((await host.report({ kind: "backup" })).snapshots).toHaveLength(3);
    });
  });
}

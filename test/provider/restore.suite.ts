import { chmod, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EngineHost, openEngineHost } from "../engine/engine-host.ts";
import { describeTree, makeOddTree } from "../engine/odd-tree.ts";
import type { FoundEngine } from "../support/engines.ts";

/**
 * The heart of what `restoreFiles` promises; test/engine/restore.test.ts shows all of it on the oldest and the newest.
 */
export function restoreSuite(engine: FoundEngine): void {
  describe(`a restore with ${engine.provider} ${engine.version}`, () => {
    let host: EngineHost;
    let data: string;
    beforeEach(async () => {
      host = await openEngineHost(engine);
      data = join(host.root, "data");
      makeOddTree(data);
    });
    afterEach(() => host.close());

    it("restores every byte, mode, owner, time and link: to a directory, in place, and of chosen paths", async () => {
      const before = describeTree(data);
      const work = host.work();
      const stored = await host.backup(work);
      expect(stored).toMatchObject({ state: "succeeded", failure: null });

      const target = join(host.root, "restored");
      const outcome = await host.restore(work, { target, snapshot: stored.snapshot?.slice(0, 8) ?? "" });
      expect(outcome).toMatchObject({ state: "succeeded", failure: null, snapshot: stored.snapshot });
      expect(describeTree(join(target, data))).toEqual(before);

      const elsewhere = await host.write("elsewhere", "not to be touched");
      await writeFile(join(data, "one-of-three"), "changed through every name");
      await rm(join(data, "$HOME"));
      await symlink(elsewhere, join(data, "$HOME"));
      await rm(join(data, "deep/er"), { recursive: true });
      await rm(join(data, "deep/three-of-three"));
      expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
      expect(await readFile(elsewhere, "utf8")).toBe("not to be touched");
      expect(describeTree(data)).toEqual(before);

      await rm(join(data, "deep"), { recursive: true });
      await chmod(host.root, 0o711);
      await utimes(host.root, 1_500_000_000, 1_500_000_000);
      const include = [join(data, "deep/er")];
      expect(await host.restore(work, { include })).toMatchObject({ state: "succeeded", failure: null });
      expect(await readdir(join(data, "deep"))).toEqual(["er"]);
      const { "/deep": deep, "/deep/er/empty": empty } = describeTree(data);
      expect([deep, empty]).toEqual([before["/deep"], before["/deep/er/empty"]]);
    });
  });
}

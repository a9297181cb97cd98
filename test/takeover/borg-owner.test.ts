import { execFileSync } from "node:child_process";
import { chown, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type EngineHost, openEngineHost } from "../engine/engine-host.ts";
import { oneOfEach } from "../support/engines.ts";

const nobody = 65_534;
let host: EngineHost;
afterEach(() => host.close());

const borgs = oneOfEach().filter(({ provider }) => provider === "borg");

// Restores are root's, and borg writes a repository's lost index anew, through whatever link is in its place.
describe.skipIf(process.getuid?.() !== 0).each(borgs)("root's borg $version in another user's repository", (engine) => {
  it("writes nothing through a link that he has put there", async () => {
    host = await openEngineHost(engine);
    await host.write("data/file", "one");
    const repository = join(host.root, "it's a repository");
    for (const path of [join(host.root, "data"), repository]) {
      await mkdir(path, { recursive: true });
      await chown(path, nobody, nobody);
    }
    const work = host.work({ user: "nobody", location: repository });
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    // Also when the disk comes from a machine on which the user had another number.
    for (const owner of [nobody, 12_345, nobody]) {
      execFileSync("chown", ["-R", `${owner}`, repository]);
      await rm(join(host.root, "data/file"));
      expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", failure: null });
      expect(await readFile(join(host.root, "data/file"), "utf8")).toBe("one");
    }

    const victim = join(host.root, "victim");
    await writeFile(victim, "precious", { mode: 0o600 });
    const indexes = (await readdir(repository)).filter((name) => /^(index|hints|integrity)\./.test(name));
    expect(indexes.length).toBeGreaterThan(2);
    for (const name of indexes) {
      await rm(join(repository, name));
      await symlink(victim, join(repository, `${name}.tmp`));
    }
    await host.restore(work, {});
    expect(await readFile(victim, "utf8")).toBe("precious");
  });
});

import { chmod, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listSnapshots } from "../../agent/runs.ts";
import { newestRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost, textOf } from "./engine-host.ts";

/** What the tool and its version do not matter for; the rest is in test/provider/repository.suite.ts. */
describe("a repository", () => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  it("whose generated passphrase is missing fails before anything else, and gets no new one", async () => {
    const work = host.work();
    await host.backup(work);
    const secret = join(host.paths.secretsDir, work.binding.repository);
    await rm(secret);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "secret.unreadable" } });
    expect(await textOf(secret)).toBe("");
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
});

describe("without restic", () => {
  it("a run fails with that code, and with what is there instead", async () => {
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

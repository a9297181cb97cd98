import { chmod, cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { findEngines } from "../../agent/providers/engines.ts";
import { type EngineHost, openEngineHost, useEngine } from "../engine/engine-host.ts";
import { everyVersion } from "../support/engines.ts";

let host: EngineHost;
afterEach(() => host.close());
const VERSIONS = everyVersion("borg");

it.each([
  ["borg 2.0.0b5", "borg 2.0.0b5 is not supported: borg 2 is a beta"],
  ["borg2 2.0.0b22", "borg 2.0.0b22 is not supported: borg 2 is a beta"],
  ["borg 1.1.18", "borg 1.1.18 is too old; 1.2.0 is the oldest that is supported"],
])("%s is found, and rejected with the reason", async (said, why) => {
  host = await openEngineHost(VERSIONS[0]);
  await host.write("data/file", "one");
  const path = await host.write("fake/borg", `#!/bin/sh\necho ${said}\n`);
  await chmod(path, 0o755);
  useEngine({ provider: "borg", path });
  const borg = (await findEngines()).find(({ provider }) => provider === "borg");
  expect(borg).toMatchObject({ path, fault: expect.stringContaining(why) });
  const { state, failure } = await host.backup(host.work());
  expect({ state, code: failure?.code }).toEqual({ state: "failed", code: "engine.unsupported" });
  expect(failure?.message).toContain(why);
  expect(failure?.next).toContain("apt install borgbackup");
});

it("without a borg a run says which package has it", async () => {
  host = await openEngineHost({ provider: "borg", version: "none", path: "/nowhere/borg" });
  await host.write("data/file", "one");
  const { failure } = await host.backup(host.work());
  expect(failure).toMatchObject({ code: "engine.missing", next: expect.stringContaining("borgbackup") });
});

it.each(VERSIONS)("a repository at another location than borg $version last saw is not used", async (borg) => {
  host = await openEngineHost(borg);
  await host.write("data/file", "one");
  const passphrase = { file: await host.write("pass", "it\n") };
  await host.backup(host.work({ passphrase }));
  const copy = join(host.root, "srv/copy");
  await cp(join(host.root, "srv/repository"), copy, { recursive: true });
  await rm(join(host.root, "srv/repository"), { recursive: true });
  const { state, failure } = await host.backup(host.work({ passphrase, location: copy }));
  expect({ state, code: failure?.code }).toEqual({ state: "failed", code: "repository.swapped" });
  expect(failure?.next).toContain("exec BINDING -- list");
});

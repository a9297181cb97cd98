import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { cheapenKey } from "../support/cheap-key.ts";
import { newestRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost } from "./engine-host.ts";

const PASSPHRASE = "of a repository that was made once";
let made: Promise<string> | null = null;

/**
 * A host whose repository is there already and opens at once, for tests that are not about the engine: making one takes
 * seconds. It belongs to the agent's own user.
 */
export async function openReadyHost(): Promise<EngineHost> {
  const host = await openEngineHost(newestRestic());
  made ??= makeRepository();
  await cp(await made, join(host.root, "srv/repository"), { recursive: true });
  const [repository] = host.work().assignment.repositories;
  await mkdir(host.paths.secretsDir, { recursive: true, mode: 0o700 });
  await writeFile(join(host.paths.secretsDir, repository?.id ?? ""), `${PASSPHRASE}\n`, { mode: 0o600 });
  return host;
}

async function makeRepository(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-ready-"));
  execFileSync(newestRestic().path, ["init", "--quiet", "--no-cache"], {
    env: { RESTIC_REPOSITORY: directory, RESTIC_PASSWORD: PASSPHRASE },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await cheapenKey(directory, PASSPHRASE);
  return directory;
}

afterAll(async () => {
  if (made !== null) await rm(await made, { recursive: true, force: true });
  made = null;
});

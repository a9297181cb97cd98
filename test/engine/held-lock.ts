import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { FoundEngine } from "../support/engines.ts";
import { until } from "../support/until.ts";
import type { EngineHost } from "./engine-host.ts";

/** Another program at work on the host's repository, which holds its lock until it is ended. */
export async function holdLock(
  { root, paths, work }: EngineHost,
  { provider, path }: FoundEngine,
): Promise<{ end(): Promise<void> }> {
  const repository = join(root, "srv/repository");
  const secret = join(paths.secretsDir, work().binding.repository);
  const isRestic = provider === "restic";
  const holder = spawn(path, isRestic ? ["backup", "--stdin"] : ["with-lock", repository, "cat"], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {
      ...process.env,
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD_FILE: secret,
      RESTIC_CACHE_DIR: join(root, "hand"),
      BORG_BASE_DIR: join(root, "hand"),
      BORG_PASSCOMMAND: `cat ${secret}`,
    },
  });
  const gone = new Promise<void>((resolve) => holder.once("exit", () => resolve()));
  await until("the other program's lock", async () =>
    isRestic ? readdirSync(join(repository, "locks")).length > 0 : existsSync(join(repository, "lock.exclusive")),
  );
  return {
    async end() {
      holder.kill("SIGKILL");
      await gone;
    },
  };
}

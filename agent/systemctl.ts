import { existsSync } from "node:fs";
import type { Paths } from "./config.ts";
import { HOOK_LADDER } from "./system/process/kill-ladder.ts";
import { CHILD_PATH } from "./system/executables.ts";
import { ownUser } from "./system/process/user.ts";
import { runProcess } from "./system/process/process.ts";

const SYSTEMCTL_WITHIN_MS = 180_000;

/** Whether this agent's units are the machine's own, and systemd is running. */
export function isUnderSystemd({ root }: Pick<Paths, "root">): boolean {
  return root === "/" && existsSync("/run/systemd/system");
}

/** @returns null on success, otherwise the error */
export async function systemctl(paths: Pick<Paths, "state">, args: string[]): Promise<string | null> {
  const ended = await runProcess(
    {
      program: "systemctl",
      args,
      env: { PATH: CHILD_PATH },
      user: ownUser(),
      umask: "022",
      fileDirectory: paths.state,
    },
    { ladder: HOOK_LADDER, timeLimitMs: SYSTEMCTL_WITHIN_MS },
  );
  if (ended.exitCode === 0) return null;
  return `systemctl ${args.join(" ")} failed: ${ended.startFailure ?? ended.stderr.trim()}`;
}

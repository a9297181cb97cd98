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
  const { trouble } = await askSystemctl(paths, args, { timeLimitMs: SYSTEMCTL_WITHIN_MS });
  return trouble === null ? null : `systemctl ${args.join(" ")} failed: ${trouble}`;
}

/**
 * Calls systemctl until it ends, is stopped by the signal, or the time is over.
 * @returns what it printed; `trouble`: null on success
 */
export async function askSystemctl(
  paths: Pick<Paths, "state">,
  args: readonly string[],
  { timeLimitMs, signal }: { timeLimitMs: number; signal?: AbortSignal },
): Promise<{ lines: string[]; trouble: string | null }> {
  const lines: string[] = [];
  const ended = await runProcess(
    {
      program: "systemctl",
      args: ["--no-ask-password", ...args],
      env: { PATH: CHILD_PATH },
      user: ownUser(),
      umask: "022",
      fileDirectory: paths.state,
    },
    {
      ladder: HOOK_LADDER,
      timeLimitMs,
      onStdout: (line) => lines.push(line),
      ...(signal === undefined ? {} : { signal }),
    },
  );
  if (ended.exitCode === 0) return { lines, trouble: null };
  const late = ended.timedOut ? "it did not end in time" : `it exited with ${ended.exitCode}`;
  return { lines, trouble: ended.startFailure ?? (ended.stderr.trim() || late) };
}

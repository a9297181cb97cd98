import type { Access } from "../providers/provider.ts";
import { CHILD_PATH } from "../system/executables.ts";
import { type ProcessResult, runProcess } from "../system/process/process.ts";

/**
 * Runs one of the system's tools for a restore, as the run's user, with its messages in English.
 * @returns how it ended. Throws the signal's reason when the run was cancelled
 */
export async function runTool(
  access: Access,
  program: string,
  args: readonly string[],
  onStdoutBytes: (chunk: Uint8Array) => void = () => undefined,
): Promise<ProcessResult> {
  const env = { PATH: CHILD_PATH, LC_ALL: "C" };
  const ended = await runProcess(
    { program, args, env, user: access.user, umask: "077", fileDirectory: access.paths.state },
    { ladder: access.ladder, signal: access.signal, beforeStart: access.onChild, onStdoutBytes },
  );
  access.signal.throwIfAborted();
  return ended;
}

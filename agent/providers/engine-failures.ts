import type { RunFailureCode } from "../../shared/failure.ts";
import type { ProcessResult } from "../system/process/process.ts";

/** The meaning of the codes that every engine has, as the end of a sentence. */
export const FAILURE_TEXTS: Partial<Record<RunFailureCode, string>> = {
  "repository.missing": "there is no repository in that place",
  "repository.locked": "the repository is locked by another program",
  "repository.wrong_passphrase": "the passphrase does not open the repository",
  "repository.unreachable": "the repository can't be reached",
  "repository.full": "there is no space left where the repository is",
  "repository.damaged": "the repository is damaged",
};

const SIGNALS: Readonly<Record<number, string>> = { 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };
const OUT_OF_MEMORY =
  /^(fatal error: runtime: (out of memory|cannot allocate memory)|runtime: out of memory|MemoryError)/m;

/** How the engine ended abnormally, so that its output means nothing; null when its exit code and output count. */
export function abnormalEnd({
  exitCode,
  signal,
  startFailure,
  stderr,
}: ProcessResult): { code: RunFailureCode; how: string } | null {
  if (startFailure !== null) return { code: "engine.missing", how: `could not be started, ${startFailure}` };
  if (signal !== null) return { code: "engine.crashed", how: `was ended by ${signal}` };
  // Exit code of a program whose child was ended by a signal, as in shells.
  const inside = exitCode === null ? undefined : SIGNALS[exitCode - 128];
  if (inside !== undefined) return { code: "engine.crashed", how: `was ended by ${inside}` };
  if (OUT_OF_MEMORY.test(stderr)) return { code: "engine.crashed", how: "had not enough memory" };
  // The exit codes of the shell that starts it.
  if (exitCode === 126 || exitCode === 127) return { code: "engine.missing", how: "can't be run by the run's user" };
  return null;
}

import type { RunFailure, RunFailureCode } from "../../../shared/failure.ts";
import { parseJson } from "../../../shared/json.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { runFailure } from "../../run-error.ts";
import type { Redact } from "../../redact.ts";
import { FAILURE_TEXTS, abnormalEnd } from "../engine-failures.ts";
import type { Restic } from "./version.ts";

/** restic's exit codes since 0.17; before that, and for everything else, its messages are matched. */
const EXIT_CODES: readonly { since: string; exitCode: number; code: RunFailureCode }[] = [
  { since: "0.17.0", exitCode: 10, code: "repository.missing" },
  { since: "0.17.0", exitCode: 11, code: "repository.locked" },
  { since: "0.17.1", exitCode: 12, code: "repository.wrong_passphrase" },
];

/** Matched in this order. */
const PATTERNS: readonly { pattern: RegExp; code: RunFailureCode }[] = [
  {
    pattern: /no space left on device|disk quota exceeded|insufficient storage|response[^\n]*\b507\b/i,
    code: "repository.full",
  },
  { pattern: /wrong password or no key found/, code: "repository.wrong_passphrase" },
  {
    pattern: /repository is already locked|unable to create lock in backend: (?!.*(permission|read-only))/,
    code: "repository.locked",
  },
  {
    pattern:
      /connection refused|no such host|i\/o timeout|deadline exceeded|no route to host|network is unreachable|certificate|connection reset|broken pipe|host key verification failed|ssh command exited|permission denied|server response unexpected|retrying after|unexpected HTTP response|access denied|access key|signature|forbidden|unable to open config file|unable to open repository/i,
    code: "repository.unreachable",
  },
];

/** A backend's message for something that clearly does not exist. */
const ABSENT =
  /unable to open config file: .*(no such file or directory|file does not exist|the specified (key|bucket) does not exist|404 not found|\(404\)|object doesn't exist|does not exist)/i;
const NOT_CLEARLY_ABSENT =
  /refused|denied|forbidden|timeout|timed out|no such host|unreachable|certificate|retrying after|unauthorized|reset|host key|access key|signature|credential/i;

/**
 * Whether restic clearly reported that there is no repository. Only then may one be created: before 0.17 the same exit
 * code and hint stand for an unreachable one.
 */
export function isRepositoryAbsent(restic: Restic, { exitCode, stderr, timedOut }: ProcessResult): boolean {
  if (timedOut || NOT_CLEARLY_ABSENT.test(stderr)) return false;
  return restic.isAtLeast("0.17.0") ? exitCode === 10 : exitCode === 1 && ABSENT.test(stderr);
}

/** The failure of a restic that did not succeed. @param context `what` it was doing, for the message */
export function resticFailure(
  restic: Restic,
  ended: ProcessResult,
  context: { what: string; redact: Redact },
): RunFailure {
  const { exitCode, stderr } = ended;
  const messages = stderr.split("\n").flatMap((line) => errorText(line) ?? []);
  const detail = context.redact(messages.slice(-3).join(" ").slice(0, 1500));
  const describe = (code: RunFailureCode, how: string): RunFailure =>
    runFailure(code, `restic ${context.what}: ${how}${detail === "" ? "" : `: ${detail}`}`);
  const unable = abnormalEnd(ended);
  if (unable !== null) return describe(unable.code, unable.how);
  if (exitCode === 2 && /goroutine|panic/.test(stderr)) return describe("engine.crashed", "crashed");
  // Checked before the other messages: a lock it could not acquire while stopping means nothing.
  if (/^signal \w+ received, cleaning up/m.test(stderr)) return describe("engine.crashed", "was ended from outside");
  const known = EXIT_CODES.find((entry) => entry.exitCode === exitCode && restic.isAtLeast(entry.since));
  if (known !== undefined) return describe(known.code, FAILURE_TEXTS[known.code] ?? "failed");
  if (isRepositoryAbsent(restic, ended)) return describe("repository.missing", "there is no repository in that place");
  const code = PATTERNS.find(({ pattern }) => pattern.test(messages.join("\n")))?.code ?? "engine.failed";
  return describe(code, FAILURE_TEXTS[code] ?? `exited with ${exitCode}`);
}

/** A line's message about the whole command; null when it concerns a single file or nothing. */
function errorText(line: string): string | null {
  if (line.trim() === "" || line.startsWith("Is there a repository at the following location")) return null;
  if (!line.startsWith("{")) return line.trim();
  const message = /"message_type":"exit_error".*"message":("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  return message === undefined ? null : String(parseJson(message) ?? message).trim();
}

import type { RunFailure, RunFailureCode } from "../../../shared/failure.ts";
import type { Redact } from "../../redact.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { runFailure } from "../../run-error.ts";
import { type LogMessage, readLogMessage } from "./messages.ts";
import { FAILURE_TEXTS, abnormalEnd } from "../engine-failures.ts";

/** Borg's message ids of errors. They are the same in every version; exit codes are not. */
const NAMES = new Map<string, RunFailureCode>(
  Object.entries({
    "Repository.DoesNotExist": "repository.missing",
    "Repository.InvalidRepository": "repository.missing",
    "Repository.ParentPathDoesNotExist": "repository.missing",
    "Repository.PathAlreadyExists": "repository.missing",
    "Repository.InsufficientFreeSpaceError": "repository.full",
    "Repository.StorageQuotaExceeded": "repository.full",
    "Repository.PathPermissionDenied": "repository.unreachable",
    "Repository.CheckNeeded": "repository.damaged",
    "Repository.ObjectNotFound": "repository.damaged",
    "Repository.InvalidRepositoryConfig": "repository.damaged",
    IntegrityError: "repository.damaged",
    FileIntegrityError: "repository.damaged",
    DecompressionError: "repository.damaged",
    NoManifestError: "repository.damaged",
    LockTimeout: "repository.locked",
    PassphraseWrong: "repository.wrong_passphrase",
    NoPassphraseFailure: "repository.wrong_passphrase",
    ConnectionClosed: "repository.unreachable",
    ConnectionClosedWithHint: "repository.unreachable",
    ConnectionBrokenWithHint: "repository.unreachable",
    PathNotAllowed: "repository.unreachable",
    LockFailed: "repository.unreachable",
    "Cache.RepositoryAccessAborted": "repository.swapped",
    "Cache.CacheInitAbortedError": "repository.swapped",
    "Cache.EncryptionMethodMismatch": "repository.swapped",
    "Cache.RepositoryReplay": "repository.swapped",
    "Cache.RepositoryIDNotUnique": "repository.swapped",
    "Archive.DoesNotExist": "snapshot.missing",
  }),
);

/** For messages without an id, in this order. A full disk is reported as a fault of the file being read. */
const PATTERNS: readonly { pattern: RegExp; code: RunFailureCode }[] = [
  {
    pattern: /\[Errno 13\]|\[Errno 30\]|permission denied|connection refused|host key verification failed/i,
    code: "repository.unreachable",
  },
];
const FULL = /\[Errno 28\]|\[Errno 122\]|no space left on device|disk quota exceeded/i;

/** Message ids that clearly report that there is no repository. `init` itself refuses a directory that is not empty. */
const ABSENT = new Set([
  "Repository.DoesNotExist",
  "Repository.InvalidRepository",
  "Repository.ParentPathDoesNotExist",
]);

export function isRepositoryAbsent({ stderr, timedOut }: ProcessResult): boolean {
  return !timedOut && messagesIn(stderr).some(({ msgid }) => msgid !== undefined && ABSENT.has(msgid));
}

/** Whether it only left out single files: exit code 1 up to borg 1.2, one code for each kind of warning since. */
export function isWarning({ exitCode }: ProcessResult): boolean {
  return exitCode === 1 || (exitCode !== null && exitCode >= 100 && exitCode < 126);
}

/** Whether a disk is full, whatever the exit code is. */
export function isFull({ stderr }: ProcessResult): boolean {
  return messagesIn(stderr).some(({ message }) => FULL.test(message));
}

/** The failure of a borg that did not succeed. @param context `what` it was doing, for the message */
export function borgFailure(ended: ProcessResult, context: { what: string; redact: Redact }): RunFailure {
  const messages = messagesIn(ended.stderr).filter(({ levelname }) => levelname !== "INFO");
  const detail = context.redact(messages.map(sentenceOf).slice(-3).join(" ").slice(0, 1500));
  const describe = (code: RunFailureCode, how: string): RunFailure =>
    runFailure(code, `borg ${context.what}: ${how}${detail === "" ? "" : `: ${detail}`}`, NEXT[code]);
  const unable = abnormalEnd(ended);
  if (unable !== null) return describe(unable.code, unable.how);
  const named = messages.map(({ msgid = "" }) => NAMES.get(msgid)).find((code) => code !== undefined);
  const text = messages.map(({ message }) => message).join("\n");
  const code = FULL.test(text)
    ? "repository.full"
    : (named ?? PATTERNS.find(({ pattern }) => pattern.test(text))?.code ?? "engine.failed");
  return describe(code, FAILURE_TEXTS[code] ?? `exited with ${ended.exitCode}`);
}

const NEXT: Partial<Record<RunFailureCode, string>> = {
  "repository.swapped":
    "If the repository was moved or replaced on purpose, look at it with `holdfast-agent exec BINDING -- list`, which asks; else put the right one back.",
  "repository.locked":
    "Wait until the other program is done. If none is running, `holdfast-agent exec BINDING -- break-lock` removes a dead lock.",
};

function messagesIn(stderr: string): LogMessage[] {
  return stderr.split("\n").flatMap((line) => readLogMessage(line) ?? []);
}

/** For a traceback, the line with the exception. */
function sentenceOf({ message }: LogMessage): string {
  if (!message.includes("Traceback")) return message.trim();
  const lines = message.split("\n").map((line) => line.trim());
  return (
    lines.findLast(
      (line) =>
        /^[\w.]+(Error|Exception|Failure)?: /.test(line) && !/^(Platform|Linux|Borg|PID|CWD|sys|SSH)/.test(line),
    ) ?? ""
  );
}

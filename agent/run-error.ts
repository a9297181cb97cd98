import { messageOf } from "../shared/error-message.ts";
import type { RunFailure, RunFailureCode } from "../shared/failure.ts";

/** The failure that ends a run. Every expected failure is thrown as one. */
export class RunError extends Error {
  override readonly name = "RunError";
  readonly failure: RunFailure;
  /** What else went wrong. */
  readonly warnings: string[] = [];

  constructor(failure: RunFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * @param message what happened, and to what
 * @param next what a person can do about it, if other than the code's usual advice
 */
export function runError(code: RunFailureCode, message: string, next: string = NEXT[code]): RunError {
  return new RunError(runFailure(code, message, next));
}

export function runFailure(code: RunFailureCode, message: string, next: string = NEXT[code]): RunFailure {
  return { code, message: message.slice(0, 4096), next: next.slice(0, 1024) };
}

/** The same error with these warnings added. */
export function withWarnings(error: unknown, warnings: readonly string[]): RunError {
  const known = error instanceof RunError ? error : new RunError(failureOf(error));
  known.warnings.push(...warnings);
  return known;
}

/** Turns any error into a run's failure. */
export function failureOf(error: unknown): RunFailure {
  if (error instanceof RunError) return error.failure;
  return runFailure("host.failed", messageOf(error));
}

const NEXT: Record<RunFailureCode, string> = {
  "engine.missing":
    "Install the repository's tool on the host (Debian: apt install restic, or borgbackup), or name it with HOLDFAST_RESTIC or HOLDFAST_BORG.",
  "engine.unsupported": "Install restic 0.14 or newer, or borg 1.2 or 1.4, on the host.",
  "engine.refused": "Install a newer version of the tool on the host, or let a host with one do this.",
  "engine.crashed":
    "Look at the end of the run's log and at the host's memory (dmesg shows the OOM killer), then run again.",
  "engine.failed": "Read the end of the run's log: the tool's error message is there.",
  "repository.missing":
    "Mount or connect the place where the repository is. It is never created a second time; a new place is a new repository.",
  "repository.swapped": "Put the right repository back in that place, or add this one as a new repository of its own.",
  "repository.wrong_passphrase": "Give the passphrase the repository was created with.",
  "repository.locked":
    "Wait until the other program is done. If none is running, `holdfast-agent exec BINDING -- unlock` (borg: break-lock) removes dead locks.",
  "repository.unreachable": "Check the network, the storage's address and its credentials, then run again.",
  "repository.full": "Free or add space where the repository is, then run again.",
  "repository.damaged":
    "Do not prune. Read the end of the run's log, and see docs/repair.md for what to do in which order; older snapshots may be whole.",
  "repository.append_only": "Apply the retention and prune where the repository may be written.",
  "secret.unreadable": "Put the secret back into its file, readable by the agent's user.",
  "source.missing": "Mount or create the source, or take it out of the contract.",
  "source.empty": "Check that the source is mounted and holds what it should; a backup of nothing never counts.",
  "source.unreadable": "Let the contract's user read the source, or name another user in the contract.",
  "source.unmounted": "Mount it, then run again; or take the mount point out of the contract.",
  "source.shrunk":
    "Look whether the files are all there. If they are meant to be gone, run again: it passes once the new size is the usual one, or set shrinkage in the binding's settings.",
  "consistency.failed": "Read the end of the run's log; what was stopped has been started again.",
  "dump.failed": "Read the command's error message in the run's log, fix it, then run again. Nothing of it was stored.",
  "database.failed": "Read the database's error message in the run's log. What was restored so far may be incomplete.",
  "hook.missing": "Put an executable of that name into the host's hooks.d, or correct the name in the contract.",
  "hook.failed": "Read the hook's output in the run's log, fix it, then run again.",
  "hook.timed_out": "Find out why the hook takes so long, or raise hookTimeLimit in the binding's settings.",
  "user.unavailable":
    "Create the user on the host, run the agent as root, or name the agent's own user in the contract.",
  "policy.refused": "Only the host's owner can allow it, in policy.json on the host.",
  "policy.approval_needed": "On the host, as root: `holdfast-agent approve` shows what waits, and says yes to it.",
  "binding.unknown": "Ask for a binding this host has; `holdfast-agent status` lists them.",
  "snapshot.missing": "Ask for a snapshot this binding has; `holdfast-agent snapshots BINDING` lists them.",
  "snapshot.not_listed": "Run again. If it happens again, check the repository with the tool itself.",
  "restore.incomplete":
    "The run's log and warnings name what was not restored; restore those again, or to a directory.",
  "restore.nothing_matched":
    "Ask for paths as they are in the snapshot: `holdfast-agent exec BINDING -- ls SNAPSHOT` lists them (borg: list ::ARCHIVE).",
  "run.timed_out": "Find out why it takes so long, or raise runTimeLimit in the binding's settings.",
  "run.cancelled": "Run again when it suits.",
  "run.interrupted":
    "Nothing, if the host was restarted: the next run is due as planned. Else look at the agent's log.",
  "run.expired": "Run again when the host is online.",
  "run.busy": "Wait for the running one.",
  "host.failed": "Look at the host's disk and at the agent's log.",
};

import { isAlive, type ProcessRef, untilReaped } from "../../system/process/process-ref.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import type { BorgRunner } from "./command.ts";

/** A borg killed by SIGKILL or the OOM killer could not remove its lock. */
export async function removeOwnLock(runner: BorgRunner, { child, signal }: ProcessResult): Promise<void> {
  if (child !== null && signal !== null) await removeStaleLocks(runner, child);
}

const LOCK_WAIT_SECONDS = "10";

/**
 * See OpenRepository.removeStaleLocks. Borg removes a lock of this host whose process is gone, and no other, when it
 * acquires one. So this makes it acquire one.
 */
export async function removeStaleLocks(runner: BorgRunner, dead: ProcessRef): Promise<void> {
  const { access } = runner;
  if (isAlive(dead)) return;
  await untilReaped(dead);
  await runner.call({
    args: ["list", "--log-json", "--short", "--last", "1", "--lock-wait", LOCK_WAIT_SECONDS],
    runsAfterCancel: true,
    timeLimitMs: access.timeouts.openMs,
    onStderr(line) {
      if (line.includes("stale lock"))
        access.log.line(`removed the lock that process ${dead.pid} of this host left when it died`);
    },
  });
}

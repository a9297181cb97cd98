import { isAlive, type ProcessMark, untilCollected } from "../../system/process/mark.ts";
import type { Ended } from "../../system/process/process.ts";
import type { BorgRunner } from "./command.ts";

/** A borg that a signal ended (the ladder's last rung, the OOM killer) could not remove its own lock. */
export async function releaseOwnLock(runner: BorgRunner, { child, signal }: Ended): Promise<void> {
  if (child !== null && signal !== null) await releaseDeadLocks(runner, child);
}

const LOCK_WAIT_SECONDS = "10";

/**
 * See OpenRepository.releaseDeadLocks. Borg itself removes a lock of this host whose process is gone, and no other, when
 * it takes one: so it is made to.
 */
export async function releaseDeadLocks(runner: BorgRunner, dead: ProcessMark): Promise<void> {
  const { access } = runner;
  if (isAlive(dead)) return;
  await untilCollected(dead);
  await runner.call({
    args: ["list", "--log-json", "--short", "--last", "1", "--lock-wait", LOCK_WAIT_SECONDS],
    isAfterwards: true,
    timeLimitMs: access.patience.openMs,
    onStderr(line) {
      if (line.includes("stale lock"))
        access.log.line(`removed the lock that process ${dead.pid} of this host left when it died`);
    },
  });
}

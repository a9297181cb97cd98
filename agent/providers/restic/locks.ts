import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { parseJson } from "../../../shared/json.ts";
import { isAlive, type ProcessRef, untilReaped } from "../../system/process/process-ref.ts";
import { boundedText } from "../../system/process/lines.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";

const RETRY_MS = 5_000;

/** Since 0.16, restic itself waits for a lock held by another program. */
export function lockArgs({ restic, access }: Pick<ResticRunner, "restic" | "access">): string[] {
  return restic.isAtLeast("0.16.0") ? ["--retry-lock", `${Math.ceil(access.timeouts.lockMs / 1000)}s`] : [];
}

/** Retries while the repository is locked by another program, for restic before 0.16. @returns the last result */
export async function retryWhileLocked(
  runner: ResticRunner,
  call: () => Promise<ProcessResult>,
): Promise<ProcessResult> {
  const { restic, access } = runner;
  const deadline = performance.now() + access.timeouts.lockMs;
  let hasLogged = false;
  for (;;) {
    const ended = await call();
    if (restic.isAtLeast("0.16.0") || ended.exitCode === 0 || ended.cancelled) return ended;
    const { code } = resticFailure(restic, ended, { what: "", redact: access.log.redact });
    const left = deadline - performance.now();
    if (code !== "repository.locked" || left <= 0) return ended;
    if (!hasLogged) access.log.line("the repository is locked by another program: waiting");
    hasLogged = true;
    await delay(Math.min(RETRY_MS, left), undefined, { signal: access.signal }).catch(() => undefined);
    if (access.signal.aborted) return { ...ended, cancelled: true };
  }
}

/** A restic killed by SIGKILL or the OOM killer could not remove its lock. */
export async function removeOwnLock(runner: ResticRunner, { child, signal }: ProcessResult): Promise<void> {
  if (child !== null && signal !== null) await removeStaleLocks(runner, child);
}

const LockFile = z.object({ hostname: z.string(), pid: z.int() });

/** See OpenRepository.removeStaleLocks. `unlock` alone never removes the lock of a program that may be alive. */
export async function removeStaleLocks(runner: ResticRunner, dead: ProcessRef): Promise<void> {
  const { access } = runner;
  if (isAlive(dead) || !(await holdsLock(runner, dead))) return;
  await untilReaped(dead);
  const lock = `the lock that process ${dead.pid} of this host left when it died`;
  const timeLimitMs = access.timeouts.openMs;
  const { exitCode } = await runner.call({ args: ["unlock"], runsAfterCancel: true, timeLimitMs });
  // restic exits with 0 even when it removed nothing.
  const isRemoved = exitCode === 0 && !(await holdsLock(runner, dead));
  access.log.line(isRemoved ? `removed ${lock}` : `restic did not remove ${lock}`);
}

async function holdsLock(runner: ResticRunner, { pid }: ProcessRef): Promise<boolean> {
  for (const id of await outputOf(runner, ["list", "locks", "--no-lock"])) {
    if (!/^[0-9a-f]{64}$/.test(id)) continue;
    const text = (await outputOf(runner, ["cat", "lock", id, "--no-lock"])).join("");
    const lock = LockFile.safeParse(parseJson(text));
    if (lock.success && lock.data.hostname === hostname() && lock.data.pid === pid) return true;
  }
  return false;
}

async function outputOf(runner: ResticRunner, args: string[]): Promise<string[]> {
  const answer = boundedText();
  const { exitCode } = await runner.call({
    args,
    runsAfterCancel: true,
    timeLimitMs: runner.access.timeouts.openMs,
    onStdout: (line) => answer.push(`${line}\n`),
  });
  return exitCode === 0 ? answer.text().split("\n") : [];
}

import { buildForgetResult } from "../forget-result.ts";
import type { ForgetResult } from "../provider.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";
import { listSnapshots } from "./snapshots.ts";

/**
 * See OpenRepository.forget. Never with --prune: that is another run, and some versions prune what they could not
 * forget.
 */
export async function forget(runner: ResticRunner, unwanted: readonly string[]): Promise<ForgetResult> {
  const { restic, access } = runner;
  const before = await listSnapshots(runner);
  const ids = before.map(({ id }) => id).filter((id) => unwanted.includes(id));
  if (ids.length === 0) return { snapshots: before, removed: 0, failure: null };
  const ended = await retryWhileLocked(runner, () =>
    runner.call({
      args: ["forget", ...lockArgs(runner), ...ids],
      onStderr: (line) => access.log.line(`restic: ${line}`),
    }),
  );
  await removeOwnLock(runner, ended);
  return buildForgetResult(access, {
    before,
    unwanted: ids,
    ended,
    after: await listSnapshots(runner),
    failureOf: () => resticFailure(restic, ended, { what: "forget", redact: access.log.redact }),
  });
}

import { failureOf } from "../../run-error.ts";
import { parseByteSize } from "../byte-size.ts";
import { assertNoKnownBug } from "../known-bugs.ts";
import type { UpkeepResult } from "../provider.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";

/** See OpenRepository.prune. */
export async function prune(runner: ResticRunner): Promise<UpkeepResult> {
  const { restic, access } = runner;
  const { location } = access.repository;
  assertNoKnownBug({ provider: "restic", version: restic.version, operation: "prune", location });
  let freed: number | null = null;
  const ended = await retryWhileLocked(runner, () =>
    runner.call({
      args: ["prune", ...lockArgs(runner)],
      onStdout(line) {
        if (line.startsWith("total prune:")) freed = parseByteSize(line);
        // Progress lines are repeated, and useless afterwards.
        if (line.trim() !== "" && !line.startsWith("[")) access.log.line(`restic: ${line}`);
      },
      onStderr: (line) => access.log.line(`restic: ${line}`),
    }),
  );
  await removeOwnLock(runner, ended);
  const stats = freed === null ? {} : { bytesFreed: freed };
  if (ended.cancelled) return { failure: failureOf(access.signal.reason), warnings: [], stats: {} };
  if (ended.exitCode === 0) return { failure: null, warnings: [], stats };
  const failure = resticFailure(restic, ended, { what: "prune", redact: access.log.redact });
  return { failure, warnings: [], stats: {} };
}

import { failureOf, runFailure } from "../../run-error.ts";
import type { OpenRepository, UpkeepResult } from "../provider.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";

/** Printed by every version at the end of a complete check. */
const FOUND_NONE = /no errors were found/;
const FOUND_DAMAGE = /repository contains errors/;
/** The storage was listed and lacks it, so it was reached, whatever came of reading it. */
const LACKS_A_PACK = /^pack [0-9a-f]{64}: does not exist$/m;
/** restic's advice for a person at a terminal. */
const ADVICE = /^(Damaged pack files can be|The repository contains damaged|restic repair |$)/;

/**
 * See OpenRepository.check. Without reading data, restic does not notice a changed byte. The parts are by the packs'
 * ids, so that all parts together read each pack once, even when packs come and go.
 */
export async function check(
  runner: ResticRunner,
  { part, parts }: Parameters<OpenRepository["check"]>[0],
): Promise<UpkeepResult> {
  const { restic, access } = runner;
  let hasFoundNone = false;
  const ended = await retryWhileLocked(runner, () =>
    runner.call({
      args: ["check", `--read-data-subset=${part}/${parts}`, ...lockArgs(runner)],
      onStdout(line) {
        hasFoundNone ||= FOUND_NONE.test(line);
        if (line.trim() !== "" && !line.startsWith("[")) access.log.line(`restic: ${line}`);
      },
      onStderr: (line) => access.log.line(`restic: ${line}`),
    }),
  );
  await removeOwnLock(runner, ended);
  const result = { warnings: [], stats: {} };
  if (ended.cancelled) return { ...result, failure: failureOf(access.signal.reason) };
  if (ended.exitCode === 0 && hasFoundNone) return { ...result, failure: null };
  if (ended.exitCode === 0) {
    const message = "restic check ended well, but did not say that it found no errors";
    return { ...result, failure: runFailure("engine.failed", message) };
  }
  const failure = resticFailure(restic, ended, { what: "check", redact: access.log.redact });
  // A pack that could not be fetched is also reported as an error of the repository.
  const isCertain = failure.code === "engine.failed" || LACKS_A_PACK.test(ended.stderr);
  if (!isCertain || !FOUND_DAMAGE.test(ended.stderr)) return { ...result, failure };
  const lines = ended.stderr.split("\n").filter((line) => !ADVICE.test(line) && !FOUND_DAMAGE.test(line));
  const errors = access.log.redact(lines.slice(0, 3).join("; ").slice(0, 1500));
  return { ...result, failure: runFailure("repository.damaged", `restic check found damage: ${errors}`) };
}

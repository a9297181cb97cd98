import { failureOf, runFailure } from "../../run-error.ts";
import { type BorgRunner, lockArgs } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readLogMessage } from "./messages.ts";
import type { OpenRepository, UpkeepResult } from "../provider.ts";

/** Exit code of borg check when it found damage: the same as for a warning of any other command. */
const FOUND_DAMAGE = 1;

/**
 * See OpenRepository.check. Each borg check reads all data and compares its checksums. That the data is authentic,
 * which takes the key, is verified for all of it with the last part.
 */
export async function check(
  runner: BorgRunner,
  { part, parts }: Parameters<OpenRepository["check"]>[0],
): Promise<UpkeepResult> {
  const { access } = runner;
  const errors: string[] = [];
  const ended = await runner.call({
    args: ["check", "--log-json", ...lockArgs(runner), ...(part === parts ? ["--verify-data"] : [])],
    onStderr(line) {
      const message = readLogMessage(line);
      if (message === null) return;
      access.log.line(`borg: ${message.message}`);
      if (message.levelname === "ERROR" && errors.length < 3) errors.push(message.message);
    },
  });
  const result = { warnings: [], stats: {} };
  if (ended.cancelled) return { ...result, failure: failureOf(access.signal.reason) };
  if (ended.exitCode === 0) return { ...result, failure: null };
  if (ended.exitCode !== FOUND_DAMAGE) {
    return { ...result, failure: borgFailure(ended, { what: "check", redact: access.log.redact }) };
  }
  const message = `borg check found damage: ${access.log.redact(errors.join("; "))}`;
  return { ...result, failure: runFailure("repository.damaged", message) };
}

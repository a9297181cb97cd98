import { RunError } from "../../run-error.ts";
import { type BorgRunner, lockArgs } from "./command.ts";
import { borgFailure } from "./failures.ts";

/** See OpenRepository.addPassphrase. borg's key has one passphrase: the one before opens nothing from then on. */
export async function addPassphrase(runner: BorgRunner, passphrase: string): Promise<void> {
  const { access } = runner;
  const ended = await runner.call({
    args: ["key", "change-passphrase", "--log-json", ...lockArgs(runner)],
    // The only way in that borg has, besides a prompt.
    env: { BORG_NEW_PASSPHRASE: passphrase },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) {
    throw new RunError(borgFailure(ended, { what: "key change-passphrase", redact: access.log.redact }));
  }
}

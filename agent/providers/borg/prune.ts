import { failureOf } from "../../run-error.ts";
import { type BorgRunner, lockArgs } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readLogMessage } from "./messages.ts";
import { parseByteSize } from "../byte-size.ts";
import type { UpkeepResult } from "../provider.ts";

/** See OpenRepository.prune. Borg calls it `compact`; borg's `prune` is what we call forget. */
export async function prune(runner: BorgRunner): Promise<UpkeepResult> {
  const { access } = runner;
  let freed: number | null = null;
  const ended = await runner.call({
    args: ["compact", "--verbose", "--log-json", ...lockArgs(runner)],
    onStderr(line) {
      const message = readLogMessage(line)?.message;
      if (message === undefined) return;
      if (message.startsWith("compaction freed")) freed = parseByteSize(message);
      access.log.line(`borg: ${message}`);
    },
  });
  const stats = freed === null ? {} : { bytesFreed: freed };
  if (ended.cancelled) return { failure: failureOf(access.signal.reason), warnings: [], stats: {} };
  if (ended.exitCode === 0) return { failure: null, warnings: [], stats };
  return { failure: borgFailure(ended, { what: "compact", redact: access.log.redact }), warnings: [], stats: {} };
}

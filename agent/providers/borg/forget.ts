import type { BorgWork } from "./backup.ts";
import { lockArgs } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readLogMessage } from "./messages.ts";
import { listArchives, type NamedSnapshot, withoutName } from "./snapshots.ts";
import { buildForgetResult } from "../forget-result.ts";
import type { ForgetResult } from "../provider.ts";

/** See OpenRepository.forget. Deletes archives by name: the rules of borg's own `prune` differ from restic's. */
export async function forget(
  { runner, memory }: BorgWork,
  { listed, unwanted }: { listed: readonly NamedSnapshot[]; unwanted: readonly string[] },
): Promise<ForgetResult> {
  const { access } = runner;
  const before = listed.map(withoutName);
  const going = listed.filter(({ id }) => unwanted.includes(id));
  const [first, ...others] = going.map(({ name }) => name);
  // Without a name, `delete` would mean the whole repository.
  if (first === undefined) {
    await memory.listed(before, true);
    return { snapshots: before, removed: 0, failure: null };
  }
  const deleted = new Set<string>();
  const ended = await runner.call({
    args: ["delete", "--log-json", "--list", ...lockArgs(runner), `::${first}`, ...others],
    onStderr(line) {
      const id = DELETING.exec(line)?.[1];
      if (id !== undefined) deleted.add(id);
      access.log.line(`borg: ${readLogMessage(line)?.message ?? line}`);
    },
  });
  // Borg's word is taken if it names each of them and ends well; the next listing shows it.
  const isSure = ended.exitCode === 0 && going.every(({ id }) => deleted.has(id));
  const after = isSure ? before.filter(({ id }) => !deleted.has(id)) : (await listArchives(runner)).map(withoutName);
  const result = buildForgetResult(access, {
    before,
    unwanted: going.map(({ id }) => id),
    ended,
    after,
    failureOf: () => borgFailure(ended, { what: "delete", redact: access.log.redact }),
  });
  await memory.listed(after, result.failure === null);
  return result;
}

/** A line of --list, in borg 1.2 and 1.4. */
const DELETING = /Deleting archive: .*\[([0-9a-f]{64})\] \(\d+\/\d+\)/;

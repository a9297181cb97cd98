import { lockArgs, type BorgRunner } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { listArchives } from "./snapshots.ts";
import { buildForgetResult } from "../forget-result.ts";
import type { ForgetResult } from "../provider.ts";

/** See OpenRepository.forget. Deletes archives by name: the rules of borg's own `prune` differ from restic's. */
export async function forget(runner: BorgRunner, unwanted: readonly string[]): Promise<ForgetResult> {
  const { access } = runner;
  const listed = await listArchives(runner);
  const before = listed.map(({ name: _name, ...facts }) => facts);
  const going = listed.filter(({ id }) => unwanted.includes(id));
  const [first, ...others] = going.map(({ name }) => name);
  // Without a name, `delete` would mean the whole repository.
  if (first === undefined) return { snapshots: before, removed: 0, failure: null };
  const ended = await runner.call({
    args: ["delete", "--log-json", ...lockArgs(runner), `::${first}`, ...others],
    onStderr: (line) => access.log.line(`borg: ${line}`),
  });
  const after = (await listArchives(runner)).map(({ name: _name, ...facts }) => facts);
  return buildForgetResult(access, {
    before,
    unwanted: going.map(({ id }) => id),
    ended,
    after,
    failureOf: () => borgFailure(ended, { what: "delete", redact: access.log.redact }),
  });
}

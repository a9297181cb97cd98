import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isLocalLocation } from "../../../shared/location.ts";
import type { SnapshotFacts } from "../../../shared/run.ts";
import { buildForgetResult } from "../forget-result.ts";
import type { ForgetResult } from "../provider.ts";
import type { ResticWork } from "./backup.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";
import { listSnapshots } from "./snapshots.ts";

/**
 * See OpenRepository.forget. Never with --prune: that is another run, and some versions prune what they could not
 * forget.
 */
export async function forget(
  { runner, memory }: ResticWork,
  { before, unwanted }: { before: SnapshotFacts[]; unwanted: readonly string[] },
): Promise<ForgetResult> {
  const { restic, access } = runner;
  const ids = before.map(({ id }) => id).filter((id) => unwanted.includes(id));
  if (ids.length === 0) {
    await memory.listed(before, true);
    return { snapshots: before, removed: 0, failure: null };
  }
  let deleted = 0;
  const ended = await retryWhileLocked(runner, () =>
    runner.call({
      args: ["forget", ...lockArgs(runner), ...ids],
      onStdout: (line) => (deleted = Number(DELETED.exec(line)?.[1] ?? deleted)),
      onStderr: (line) => access.log.line(`restic: ${line}`),
    }),
  );
  await removeOwnLock(runner, ended);
  const isSure = deleted === ids.length && ended.stderr.trim() === "";
  const isSeen = ended.exitCode === 0 && (await areGone(access, ids, isSure));
  const after = isSeen ? before.filter(({ id }) => !ids.includes(id)) : await listSnapshots(runner);
  const result = buildForgetResult(access, {
    before,
    unwanted: ids,
    ended,
    after,
    failureOf: () => resticFailure(restic, ended, { what: "forget", redact: access.log.redact }),
  });
  await memory.listed(after, result.failure === null);
  return result;
}

const DELETED = /\b(\d+) \/ \d+ files deleted/;

/**
 * Whether the files of these snapshots are gone: seen in a local repository.
 * @param isSure what counts elsewhere: restic counted them all and complained of nothing. (0.18 exits with 0 and a
 * complaint where the server refuses.) The next listing shows it
 */
async function areGone(
  { repository: { location } }: ResticRunner["access"],
  ids: readonly string[],
  isSure: boolean,
): Promise<boolean> {
  if (!isLocalLocation(location)) return isSure;
  const left = await readdir(join(location, "snapshots")).catch(() => ids);
  return !ids.some((id) => left.includes(id));
}

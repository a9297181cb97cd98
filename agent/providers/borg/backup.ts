import * as z from "zod";
import { boundedText } from "../../system/process/lines.ts";
import type { RunFailure } from "../../../shared/failure.ts";
import type { RunStats } from "../../../shared/run.ts";
import { borgPattern } from "../../../shared/pattern-dialects.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { failureOf, runFailure } from "../../run-error.ts";
import { type BorgRunner, lockArgs } from "./command.ts";
import { borgFailure, isFull, isWarning } from "./failures.ts";
import { removeOwnLock } from "./locks.ts";
import { splitItemWarning, readProgress, readLogMessage } from "./messages.ts";
import { archiveName, commentArgs, listAll } from "./snapshots.ts";
import { buildBackupResult, type EngineEnd } from "../backup-result.ts";
import { itemWarnings } from "../item-warnings.ts";
import type { BackupInput, BackupResult } from "../provider.ts";

const count = z.int().min(0);
const Created = z.object({
  archive: z.object({ stats: z.object({ nfiles: count, original_size: count, deduplicated_size: count }) }),
});

/** Warnings that concern no file: messages of the other side, and about a stale lock of this host. */
const OF_NO_FILE = /^(Remote:|(Killed|Removed) stale )/;

/** See OpenRepository.backup. */
export async function backup(runner: BorgRunner, input: BackupInput): Promise<BackupResult> {
  const { access } = runner;
  const name = archiveName(access, access.clock.now());
  const problems = itemWarnings();
  const answer = boundedText();
  const ended = await runner.call({
    args: [
      "create",
      ...createArgs(runner),
      ...commentArgs(input.sources),
      ...input.excludes.map((pattern) => `--exclude=${borgPattern(pattern)}`),
      `::${name}`,
      "--",
      ...input.sources,
    ],
    onStdout: answer.push,
    onStderr(line) {
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) return input.onProgress(progress);
      const message = readLogMessage(line);
      if (message === null) return;
      const { item, reason } = splitItemWarning(message.message);
      if (message.levelname === "WARNING" && !OF_NO_FILE.test(message.message)) problems.add(item, reason);
      else access.log.line(`borg: ${message.message}`);
    },
  });
  await removeOwnLock(runner, ended);
  const warnings = problems.warnings().map(access.log.redact);
  if (isWarning(ended) && warnings.length === 0) warnings.push("borg could not read everything");
  for (const warning of warnings) access.log.line(`left out: ${warning}`);
  const failure = storeFailure(runner, ended);
  const faultOf = (stats: RunStats | null): RunFailure | null =>
    emptyBackupFailure(stats, { user: access.user.name, warnings });
  return await resolveBackup(runner, { name, text: answer.text(), warnings, failure, faultOf });
}

/** Looks up in the repository whether borg has stored an archive of that name. */
export async function resolveBackup(
  runner: BorgRunner,
  end: Pick<EngineEnd, "warnings" | "failure" | "faultOf"> & { name: string; text: string },
): Promise<BackupResult> {
  let nameById = new Map<string, string>();
  let unfinished: string[] = [];
  const result = await buildBackupResult({
    engine: "borg",
    warnings: end.warnings,
    stats: statsOf(end.text),
    failure: end.failure,
    async list() {
      const { archives, ...rest } = await listAll(runner);
      ({ unfinished } = rest);
      nameById = new Map(archives.map((archive) => [archive.id, archive.name]));
      return archives.map(({ name: _name, ...facts }) => facts);
    },
    find: (snapshots) => snapshots.find(({ id }) => nameById.get(id) === end.name) ?? null,
    faultOf: end.faultOf,
    discard: () => deleteArchive(runner, end.name),
  });
  // Checkpoints of an interrupted run helped this one; later runs don't need them.
  if (result.snapshot !== null && !runner.access.repository.appendOnly) {
    for (const name of unfinished) await deleteArchive(runner, name);
  }
  return result;
}

/** Arguments common to every `create`. */
export function createArgs(runner: BorgRunner): string[] {
  return ["--json", "--log-json", "--progress", ...lockArgs(runner)];
}

/** Why nothing usable was stored; null when it succeeded, or only left out single files. */
export function storeFailure({ access }: BorgRunner, ended: ProcessResult): RunFailure | null {
  if (ended.exitCode === 0) return null;
  if (ended.cancelled) return failureOf(access.signal.reason);
  if (isWarning(ended) && !isFull(ended)) return null;
  return borgFailure(ended, { what: "create", redact: access.log.redact });
}

/** Borg stores an empty archive, and calls that a warning. */
function emptyBackupFailure(
  stats: RunStats | null,
  { user, warnings }: { user: string; warnings: string[] },
): RunFailure | null {
  if (stats?.filesTotal !== 0) return null;
  return warnings.length > 0
    ? runFailure("source.unreadable", `user ${user} could read none of the sources' files`)
    : runFailure("source.empty", "the sources hold no file, so nothing was backed up");
}

async function deleteArchive(runner: BorgRunner, name: string): Promise<boolean> {
  const { access } = runner;
  const ended = await runner.call({
    args: ["delete", "--log-json", ...lockArgs(runner), `::${name}`],
    runsAfterCancel: true,
    timeLimitMs: access.timeouts.lockMs + access.timeouts.openMs,
  });
  if (ended.exitCode === 0) return true;
  access.log.line(
    `archive ${name} must not count and could not be removed: ${borgFailure(ended, { what: "delete", redact: access.log.redact }).message}`,
  );
  return false;
}

function statsOf(text: string): RunStats | null {
  try {
    const { nfiles, original_size, deduplicated_size } = Created.parse(JSON.parse(text)).archive.stats;
    return { filesTotal: nfiles, bytesTotal: original_size, bytesAdded: deduplicated_size };
  } catch {
    return null;
  }
}

import { readdir } from "node:fs/promises";
import * as z from "zod";
import { boundedText } from "../../system/process/lines.ts";
import type { RunFailure } from "../../../shared/failure.ts";
import { isLocalLocation } from "../../../shared/location.ts";
import type { RunStats, SnapshotFacts } from "../../../shared/run.ts";
import { borgPattern } from "../../../shared/pattern-dialects.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { failureOf, runFailure } from "../../run-error.ts";
import { type BorgRunner, lockArgs } from "./command.ts";
import { borgFailure, isFull, isWarning } from "./failures.ts";
import { removeOwnLock } from "./locks.ts";
import { splitItemWarning, readProgress, readLogMessage } from "./messages.ts";
import { archiveName, commentArgs, listAll, takenAtOf, withoutName } from "./snapshots.ts";
import { buildBackupResult, type EngineEnd } from "../backup-result.ts";
import { itemWarnings } from "../item-warnings.ts";
import type { BackupInput, BackupResult } from "../provider.ts";
import type { Memory } from "../recall.ts";

const count = z.int().min(0);
const engineId = z.string().regex(/^[0-9a-f]{64}$/);
const Created = z.object({
  repository: z.object({ id: engineId }),
  archive: z.object({
    id: engineId,
    name: z.string(),
    stats: z.object({ nfiles: count, original_size: count, deduplicated_size: count }),
  }),
});
type Created = z.infer<typeof Created>;

/** Warnings that concern no file: messages of the other side, and about a stale lock of this host. */
const OF_NO_FILE = /^(Remote:|(Killed|Removed) stale )/;

/** One run's work on a repository. */
export interface BorgWork {
  readonly runner: BorgRunner;
  readonly memory: Memory;
}

/** See OpenRepository.backup. */
export async function backup(work: BorgWork, input: BackupInput): Promise<BackupResult> {
  const { runner } = work;
  const { access } = runner;
  const name = archiveName(access, access.clock.now());
  const problems = itemWarnings();
  const answer = boundedText();
  const transaction = await transactionOf(runner);
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
  const made = { name, text: answer.text(), paths: input.sources, transaction };
  return await resolveBackup(work, { ...made, ended, warnings, failure, faultOf });
}

interface BorgEnd extends Pick<EngineEnd, "warnings" | "failure" | "faultOf"> {
  readonly ended: ProcessResult;
  /** The archive's. */
  readonly name: string;
  /** What borg has printed. */
  readonly text: string;
  /** What the archive holds. */
  readonly paths: readonly string[];
  /** The repository's newest transaction before, see transactionOf. */
  readonly transaction: number | null;
}

/** Finds out whether borg has stored an archive of that name: by what it says of it, else by listing all of them. */
export async function resolveBackup({ runner, memory }: BorgWork, end: BorgEnd): Promise<BackupResult> {
  const created = createdIn(end.text);
  const stats = statsOf(created);
  const hasNoTrouble = end.failure === null && end.warnings.length === 0;
  const said = hasNoTrouble && (await hasCommitted(runner, end)) ? saidOf({ runner, memory }, end, created) : null;
  if (said !== null && end.faultOf(stats) === null) {
    const snapshots = await memory.added(said);
    return { snapshot: said, failure: null, warnings: [], stats, snapshots };
  }
  // A run that was cancelled has no time for it; then the list alone says what was stored.
  if (!end.ended.cancelled) await memory.confirm();
  let nameById = new Map<string, string>();
  let unfinished: string[] = [];
  const result = await buildBackupResult({
    engine: "borg",
    warnings: end.warnings,
    stats,
    failure: end.failure,
    async list() {
      const { archives, ...rest } = await listAll(runner);
      ({ unfinished } = rest);
      nameById = new Map(archives.map((archive) => [archive.id, archive.name]));
      return archives.map(withoutName);
    },
    find: (snapshots) => snapshots.find(({ id }) => nameById.get(id) === end.name) ?? null,
    faultOf: end.faultOf,
    discard: () => deleteArchive(runner, end.name),
  });
  // Checkpoints of an interrupted run helped this one; later runs don't need them.
  if (result.snapshot !== null && !runner.access.repository.appendOnly) {
    for (const name of unfinished) await deleteArchive(runner, name);
  }
  // After any other end the next run looks too: it may find what this one has left.
  if (result.failure === null && result.snapshots !== null) await memory.listed(result.snapshots);
  return result;
}

/** A local repository's newest transaction, as the name of its index says; null when it can't be seen. */
export async function transactionOf({ access: { repository } }: BorgRunner): Promise<number | null> {
  if (!isLocalLocation(repository.location)) return null;
  const names = await readdir(repository.location).catch(() => []);
  const numbers = names.flatMap((name) => /^index\.(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return numbers.length === 0 ? null : Math.max(...numbers);
}

/** Whether a local repository shows that something was committed; what another shows, borg alone knows. */
async function hasCommitted(runner: BorgRunner, { transaction }: BorgEnd): Promise<boolean> {
  if (!isLocalLocation(runner.access.repository.location)) return true;
  const now = await transactionOf(runner);
  return transaction !== null && now !== null && now > transaction;
}

/**
 * The new archive as borg describes it when it has committed it, in the repository of the known id; null when there is
 * any doubt.
 */
function saidOf(
  { runner, memory }: BorgWork,
  { ended, name, paths }: BorgEnd,
  created: Created | null,
): SnapshotFacts | null {
  const { recalled, engineId } = memory;
  if (recalled === null || created === null || ended.exitCode !== 0) return null;
  const { repository, archive } = created;
  const isNew = archive.name === name && !recalled.some(({ id }) => id === archive.id);
  if (repository.id !== engineId || !isNew || archive.stats.nfiles === 0) return null;
  return {
    id: archive.id,
    takenAt: takenAtOf(runner.access, name),
    paths: [...paths],
    bytesTotal: archive.stats.original_size,
  };
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

function createdIn(text: string): Created | null {
  try {
    return Created.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function statsOf(created: Created | null): RunStats | null {
  if (created === null) return null;
  const { nfiles, original_size, deduplicated_size } = created.archive.stats;
  return { filesTotal: nfiles, bytesTotal: original_size, bytesAdded: deduplicated_size };
}

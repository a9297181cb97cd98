import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { RunFailure } from "../../../shared/failure.ts";
import { instant } from "../../../shared/ids.ts";
import { isLocalLocation } from "../../../shared/location.ts";
import { resticPattern } from "../../../shared/pattern-dialects.ts";
import type { RunStats, SnapshotFacts } from "../../../shared/run.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { failureOf, runFailure } from "../../run-error.ts";
import { buildBackupResult, type EngineEnd } from "../backup-result.ts";
import type { BackupInput, BackupResult } from "../provider.ts";
import type { Memory } from "../recall.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";
import { BackupSummary, itemErrors, readMessage, readProgress } from "./messages.ts";
import { listSnapshots, tagOf } from "./snapshots.ts";

/** restic's exit code when a snapshot was stored, but some files are missing in it. */
const SOME_UNREADABLE = 3;

/** One run's work on a repository. */
export interface ResticWork {
  readonly runner: ResticRunner;
  readonly memory: Memory;
}

/** See OpenRepository.backup. */
export async function backup(work: ResticWork, input: BackupInput): Promise<BackupResult> {
  const { runner } = work;
  const { access } = runner;
  const errors = itemErrors();
  let summary: BackupSummary | null = null;
  const begun = startTimeNow();
  const ended = await retryWhileLocked(runner, () =>
    runner.call({
      args: backupArgs(runner, input),
      // Ended by NUL: behind a link, a source may have a newline in its name.
      files: [input.sources.map((source) => `${source}\0`).join("")],
      onStdout(line) {
        const progress = readProgress(line, access.clock.now());
        if (progress !== null) return input.onProgress(progress);
        summary = readMessage(BackupSummary, line) ?? summary;
      },
      onStderr(line) {
        if (!errors.read(line) && !line.startsWith("{")) access.log.line(`restic: ${line}`);
      },
    }),
  );
  await removeOwnLock(runner, ended);
  const warnings = errors.warnings().map(access.log.redact);
  if (ended.exitCode === SOME_UNREADABLE && warnings.length === 0) warnings.push("restic could not read everything");
  for (const warning of warnings) access.log.line(`left out: ${warning}`);
  const failure = storeFailure(runner, ended);
  const paths = input.sources;
  return await resolveBackup(work, { ended, summary, begun, paths, warnings, failure, faultOf: emptyBackupFailure });
}

interface ResticEnd extends Pick<EngineEnd, "warnings" | "failure" | "faultOf"> {
  readonly ended: ProcessResult;
  readonly summary: BackupSummary | null;
  readonly begun: StartTime;
  /** What the snapshot holds. */
  readonly paths: readonly string[];
}

/** Finds out whether restic has stored a snapshot: by its file if that can be seen, else by listing all of them. */
export async function resolveBackup({ runner, memory }: ResticWork, end: ResticEnd): Promise<BackupResult> {
  const seen = end.failure === null && end.warnings.length === 0 ? await findStored({ runner, memory }, end) : null;
  if (seen !== null && end.faultOf(statsOf(end.summary)) === null) {
    const snapshots = await memory.added(seen);
    return { snapshot: seen, failure: null, warnings: [], stats: statsOf(end.summary), snapshots };
  }
  // A run that was cancelled has no time for it; then the list alone says what was stored.
  if (!end.ended.cancelled) await memory.confirm();
  const result = await buildBackupResult({
    engine: "restic",
    warnings: end.warnings,
    stats: statsOf(end.summary),
    failure: end.failure,
    list: () => listSnapshots(runner),
    find: (snapshots) => findNew(snapshots, end),
    faultOf: end.faultOf,
    discard: ({ id }) => forgetSnapshot(runner, id),
  });
  // After any other end the next run looks too: it may find what this one has left.
  if (result.failure === null && result.snapshots !== null) await memory.listed(result.snapshots);
  return result;
}

const BACKUP_ENDED_WELL = 0;

/**
 * The new snapshot, by its file in a local repository or in restic's cache of just this repository; null when there is
 * any doubt. Facts of restic 0.14 to 0.19, tried: it saves the file in both, and its cache is named by the
 * repository's id.
 */
async function findStored(
  { runner, memory }: ResticWork,
  { ended, summary, begun, paths }: ResticEnd,
): Promise<SnapshotFacts | null> {
  const { recalled, engineId } = memory;
  const reported = summary?.snapshot_id;
  const hasFiles = (summary?.total_files_processed ?? 0) > 0;
  if (recalled === null || ended.exitCode !== BACKUP_ENDED_WELL || reported === undefined || !hasFiles) return null;
  const { location } = runner.access.repository;
  const cached = runner.cache === null ? null : join(runner.cache, engineId, "snapshots", reported.slice(0, 2));
  const directory = isLocalLocation(location) ? join(location, "snapshots") : cached;
  if (directory === null) return null;
  const [id, ...more] = await namesBeginning(directory, reported);
  if (id === undefined || more.length > 0 || !SNAPSHOT_ID.test(id) || recalled.some((one) => one.id === id))
    return null;
  if (wasClockSet(begun)) return null;
  return { id, takenAt: instant(begun.wall), paths: [...paths], bytesTotal: summary?.total_bytes_processed ?? null };
}

/** A whole id is looked up; up to restic 0.14 only its first digits are known, and the directory is listed. */
async function namesBeginning(directory: string, reported: string): Promise<string[]> {
  try {
    if (!SNAPSHOT_ID.test(reported)) return (await readdir(directory)).filter((name) => name.startsWith(reported));
    await lstat(join(directory, reported));
    return [reported];
  } catch {
    return [];
  }
}

const SNAPSHOT_ID = /^[0-9a-f]{64}$/;

function backupArgs(runner: ResticRunner, { excludes }: BackupInput): string[] {
  return [
    ...storeArgs(runner),
    "--files-from-raw",
    "/dev/fd/4",
    ...excludes.map((pattern) => `--exclude=${resticPattern(pattern)}`),
  ];
}

/** Arguments of every command that makes a snapshot of the binding. */
export function storeArgs({ restic, access }: ResticRunner): string[] {
  const { scope } = access;
  return [
    "backup",
    "--json",
    "--host",
    scope.host,
    "--tag",
    tagOf(scope),
    // The parent is the binding's newest snapshot, even after its paths were changed.
    ...(restic.isAtLeast("0.16.0") ? ["--group-by", "host,tags"] : []),
    ...lockArgs({ restic, access }),
  ];
}

/**
 * Finds the snapshot made by this run. Up to restic 0.14 the summary has only the first 8 digits of its id; a killed
 * restic has printed none. A snapshot that existed before is never this run's, whatever restic prints.
 */
function findNew(
  snapshots: readonly SnapshotFacts[],
  { summary, begun }: { summary: BackupSummary | null; begun: StartTime },
): SnapshotFacts | null {
  const reportedId = summary?.snapshot_id;
  const isNew = ({ takenAt }: SnapshotFacts): boolean => Date.parse(takenAt) >= begun.wall;
  if (reportedId === undefined || reportedId === "") return snapshots.findLast(isNew) ?? null;
  return snapshots.findLast((one) => one.id.startsWith(reportedId) && (isNew(one) || wasClockSet(begun))) ?? null;
}

/** When something began, by the wall clock and by a steady clock; in ms. */
interface StartTime {
  readonly wall: number;
  readonly steady: number;
}

export function startTimeNow(): StartTime {
  return { wall: Date.now(), steady: performance.now() };
}

/** The clock was set since: then times prove nothing. */
function wasClockSet({ wall, steady }: StartTime): boolean {
  return Math.abs(Date.now() - wall - (performance.now() - steady)) > CLOCK_MAY_SLEW_MS;
}

const CLOCK_MAY_SLEW_MS = 1_000;

function emptyBackupFailure(stats: RunStats | null): RunFailure | null {
  if (stats?.filesTotal !== 0) return null;
  return runFailure("source.empty", "the sources hold no file, so nothing was backed up");
}

async function forgetSnapshot(runner: ResticRunner, id: string): Promise<boolean> {
  if (runner.access.repository.appendOnly) {
    runner.access.log.line(
      `snapshot ${id} must not count, but nothing is ever removed here: the storage is append-only`,
    );
    return false;
  }
  const args = ["forget", id, ...lockArgs(runner)];
  await retryWhileLocked(runner, () => runner.call({ args, runsAfterCancel: true }));
  // Some versions exit with 0 even when nothing could be removed.
  const isGone = await listSnapshots(runner).then(
    (left) => !left.some((one) => one.id === id),
    () => false,
  );
  if (!isGone) runner.access.log.line(`snapshot ${id} must not count and could not be removed`);
  return isGone;
}

/** Why nothing usable was stored; null when it succeeded, or only left out single files. */
export function storeFailure({ restic, access }: ResticRunner, ended: ProcessResult): RunFailure | null {
  if (ended.exitCode === 0 || ended.exitCode === SOME_UNREADABLE) return null;
  if (ended.cancelled) return failureOf(access.signal.reason);
  if (/snapshot is empty|all source directories|all target directories/.test(ended.stderr)) {
    return runFailure("source.unreadable", `user ${access.user.name} could read none of the sources`);
  }
  return resticFailure(restic, ended, { what: "backup", redact: access.log.redact });
}

function statsOf(summary: BackupSummary | null): RunStats | null {
  if (summary === null) return null;
  return {
    filesNew: summary.files_new,
    filesChanged: summary.files_changed,
    filesUnmodified: summary.files_unmodified,
    filesTotal: summary.total_files_processed,
    bytesTotal: summary.total_bytes_processed,
    bytesAdded: summary.data_added,
  };
}

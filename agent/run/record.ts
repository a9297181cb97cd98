import type { RunFailure, RunFailureCode } from "../../shared/failure.ts";
import { type Id, instant, type Instant } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import { isOver, MAX_ITEMS, type PlannedSnapshot, type RestoredItem, type RunKind } from "../../shared/run.ts";
import type { RunState, RunStats, SnapshotFacts, Trigger } from "../../shared/run.ts";
import { ownProcessRef, type ProcessRef } from "../system/process/process-ref.ts";
import { openRunLog, type RunLog } from "../run-log.ts";
import type { Spool } from "../state/spool.ts";
import type { Cleanup, RunChild, SpoolEntry } from "../state/spool-entry.ts";

/** How a run's work ended. */
export interface RunResult {
  readonly state: RunState;
  readonly failure: RunFailure | null;
  readonly snapshot: string | null;
  readonly warnings: readonly string[];
  readonly stats: RunStats | null;
  readonly engineId: string | null;
  readonly snapshots: SnapshotFacts[] | null;
  /** Why a backup's sources look wrong, although a snapshot was stored. */
  readonly suspicious?: string | null;
  /** Whatever it warns of, nothing is missing from the snapshot: the retention works. */
  readonly isStoredWhole?: boolean;
  readonly plan?: PlannedSnapshot[] | null;
  readonly items?: readonly RestoredItem[] | null;
}

/** One run's file in the spool, written before its first step and until its end. */
export interface RunRecord {
  readonly id: Id;
  readonly startedAt: Instant | null;
  readonly log: RunLog;
  /** Durable when it returns: from now on this cleanup runs, whatever happens to this process. */
  addCleanup(after: Cleanup): Promise<void>;
  /** Records the process the run has started last. Durable when it resolves; a failure to write is only logged. */
  recordChild(is: RunChild["is"], child: ProcessRef): Promise<void>;
  finish(finished: RunResult): Promise<void>;
}

interface RecordDeps {
  readonly clock: { now(): number };
  readonly spool: Spool;
  readonly log: (line: string) => void;
}

export interface RecordInput {
  /** Null for a run on the repository as a whole. */
  readonly binding: Id | null;
  readonly repository: Id;
  readonly kind: RunKind;
  readonly runId: Id;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant | null;
}

/** A run whose repository may be unknown here. */
interface NewRun extends Omit<RecordInput, "repository"> {
  readonly repository: Id | null;
}

/** Writes that the run has started. Durable when it resolves. */
export async function startRecord(
  deps: RecordDeps,
  { unit, ...input }: RecordInput & { readonly unit?: { log(line: string): void } },
): Promise<RunRecord> {
  const report = newReport(input, deps.clock.now());
  const entry: SpoolEntry = { report, owner: ownProcessRef(), after: null };
  await deps.spool.write(entry);
  return openRecord(deps, { entry, report, onLine: unit?.log });
}

/** Writes the failed report of a run that can't start. */
export async function recordUnstarted(
  { clock, spool }: Pick<RecordDeps, "clock" | "spool">,
  input: NewRun,
  failure: RunFailure,
): Promise<void> {
  const report = newReport(input, clock.now());
  const { startedAt } = report.run;
  const run = { ...report.run, state: "failed" as const, finishedAt: startedAt, failure };
  await spool.write({ owner: null, after: null, report: { ...report, run } });
}

/** The first report of a run: it starts now, without any results. */
function newReport({ runId, ...input }: NewRun, nowMs: number): RunReport {
  const { binding, repository, kind, trigger, scheduledAt } = input;
  return {
    type: "run",
    sequence: 1,
    run: {
      id: runId,
      binding,
      repository,
      kind,
      trigger,
      state: "running",
      scheduledAt,
      queuedAt: null,
      startedAt: instant(nowMs),
      finishedAt: null,
      snapshot: null,
      failure: null,
      warnings: [],
      stats: null,
      plan: null,
      items: null,
    },
    log: "",
    suspicious: null,
    engineId: null,
    snapshots: null,
  };
}

/** Takes over the record of a run whose process is gone. @param input `engines`: processes that may have left a lock */
export async function takeOverRecord(
  deps: RecordDeps,
  { entry, engines }: { entry: SpoolEntry; engines: readonly ProcessRef[] },
  report: RunReport,
): Promise<RunRecord> {
  const taken = { ...entry, owner: ownProcessRef(), engines: [...engines] };
  await deps.spool.write(taken);
  return openRecord(deps, { entry: taken, report });
}

const MOST_WARNINGS = 100;

interface BegunRecord {
  readonly entry: SpoolEntry;
  readonly report: RunReport;
  readonly onLine?: ((line: string) => void) | undefined;
}

function openRecord(deps: RecordDeps, begun: BegunRecord): RunRecord {
  const { report } = begun;
  const log = openRunLog(deps.clock, report.log, begun.onLine);
  let entry = begun.entry;
  let writing: Promise<void> = Promise.resolve();
  /** One write at a time, so that an older text never overwrites a newer one. */
  const write = (change: Partial<SpoolEntry>): Promise<void> => {
    writing = writing
      .catch(() => undefined)
      .then(() => {
        entry = { ...entry, ...change };
        return deps.spool.write(entry);
      });
    return writing;
  };
  return {
    id: report.run.id,
    startedAt: report.run.startedAt,
    log,
    addCleanup: (after) => write({ after }),
    recordChild(is, child) {
      return write({ child: { ...child, is } }).catch((error: unknown) =>
        deps.log(`the spool can't be written: ${String(error)}`),
      );
    },
    async finish(finished) {
      const { state, failure, snapshot, warnings, stats, engineId, snapshots } = finished;
      const { plan = null, items = null } = finished;
      const suspicious = report.run.kind === "backup" ? (finished.suspicious ?? sourceFault(failure)) : null;
      if (!isOver(state)) throw new Error(`a run can't end as ${state}`);
      const ended: RunReport = {
        ...report,
        sequence: report.sequence + 1,
        run: {
          ...report.run,
          state,
          failure,
          snapshot,
          stats,
          plan,
          items: items === null ? null : items.slice(0, MAX_ITEMS),
          warnings: warnings.slice(0, MOST_WARNINGS).map((warning) => log.redact(warning).slice(0, 4096)),
          finishedAt: instant(deps.clock.now()),
        },
        log: log.tail(),
        suspicious: suspicious === null ? null : log.redact(suspicious).slice(0, 4096),
        engineId,
        snapshots: snapshots === null ? null : snapshots.map(reported),
      };
      await write({ report: ended, owner: null, after: null, child: null, engines: undefined });
    },
  };
}

/** Only what a report has of a snapshot. */
function reported({ id, takenAt, paths, bytesTotal }: SnapshotFacts): SnapshotFacts {
  return { id, takenAt, paths, bytesTotal };
}

const SOURCE_FAILURES: readonly RunFailureCode[] = [
  "source.missing",
  "source.empty",
  "source.unmounted",
  "source.shrunk",
];

function sourceFault(failure: RunFailure | null): string | null {
  return failure !== null && SOURCE_FAILURES.includes(failure.code) ? failure.message : null;
}

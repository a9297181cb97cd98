import { rm } from "node:fs/promises";
import type { Assignment } from "../shared/assignment.ts";
import { type Id, instant } from "../shared/ids.ts";
import type { RunReport } from "../shared/report.ts";
import { isOver } from "../shared/run.ts";
import { checkRepository } from "./policy/check.ts";
import { readEnvironment } from "./policy/secrets.ts";
import { ENGINE_LADDER, HOOK_LADDER } from "./system/process/kill-ladder.ts";
import { isAlive, type ProcessRef, untilReaped } from "./system/process/process-ref.ts";
import { DUMP_PHASE_ENV, killOrphans, findOrphanEngines, terminateByEnvironment } from "./system/process/orphans.ts";
import { restoreWorkDirectory } from "./consistency/staging.ts";
import { findUser } from "./system/process/find-user.ts";
import { prepareAccess, type Prepared } from "./run/access.ts";
import { runCleanup } from "./run/cleanup.ts";
import type { RunnerDeps } from "./run/deps.ts";
import { failureOf, runFailure } from "./run-error.ts";
import { type RunResult, type RunRecord, takeOverRecord } from "./run/record.ts";
import { pingBackupEnd } from "./run/pings.ts";
import { EMPTY_RESULT } from "./run/record-run.ts";
import type { Cleanup, SpoolEntry } from "./state/spool-entry.ts";

interface InterruptedRun {
  readonly entry: SpoolEntry;
  readonly report: RunReport;
  readonly owner: ProcessRef;
}

/** Runs being recovered by this process: it checks every minute, and a hook may take longer. */
const inProgress = new Set<Id>();

/**
 * Recovers runs whose process is gone, whoever started them: ends the processes they left, runs their cleanup, looks
 * for their snapshot, and reports them as interrupted. Called at the start of the daemon, and every minute. A run that
 * can't be recovered now is tried again the next time.
 */
export async function recoverInterrupted(deps: RunnerDeps, assignment: Assignment | null): Promise<void> {
  for (const entry of await deps.spool.list()) {
    const { report, owner } = entry;
    if (report.type !== "run" || isOver(report.run.state) || owner === null || isAlive(owner)) continue;
    if (inProgress.has(report.run.id)) continue;
    inProgress.add(report.run.id);
    try {
      await recoverRun(deps, { entry, report, owner }, assignment);
    } catch (error) {
      deps.log(`run ${report.run.id} of a dead process can't be recovered yet: ${failureOf(error).message}`);
      await deps.spool.write(entry).catch(() => undefined);
    } finally {
      inProgress.delete(report.run.id);
    }
  }
}

async function recoverRun(deps: RunnerDeps, interrupted: InterruptedRun, assignment: Assignment | null): Promise<void> {
  const { entry, report, owner } = interrupted;
  // This process owns the run now, so no other takes it over.
  const engines = [...(entry.engines ?? []), ...(entry.child?.is === "engine" ? [entry.child] : [])];
  const record = await takeOverRecord(deps, { entry, engines }, report);
  record.log.line(`the agent's process ${owner.pid} is gone: recovering the run`);
  deps.log(`recovering run ${report.run.id}: its process ${owner.pid} is gone`);
  engines.push(...(await killChildren(deps, { entry, run: report.run.id })));
  await rm(restoreWorkDirectory(deps.paths, report.run.id), { recursive: true, force: true });
  // Before the cleanup, so that the secrets are known and redacted from its output.
  const prepared = await prepareForLookup(deps, { report, record, assignment });
  const warnings = await finishCleanup(deps, { entry, record });
  const found = prepared === null ? {} : await findStoredSnapshot(deps, { report, record, prepared, engines });
  const failure = runFailure("run.interrupted", "the agent's process ended in the middle of the run");
  await record.finish({ ...EMPTY_RESULT, ...found, warnings, state: "interrupted", failure });
  const binding = assignment?.bindings.find(({ id }) => id === report.run.binding);
  if (assignment === null || binding === undefined || report.run.kind !== "backup") return;
  const end = { state: "interrupted" as const, message: failure.message, log: record.log.tail() };
  pingBackupEnd(deps, { assignment, binding, runId: report.run.id }, end);
}

/** @returns engines that the run had not recorded */
async function killChildren(deps: RunnerDeps, { entry, run }: { entry: SpoolEntry; run: Id }): Promise<ProcessRef[]> {
  const { child } = entry;
  const ladder = deps.ladder ?? ENGINE_LADDER;
  // An engine may wait for the script whose output it stores.
  await terminateByEnvironment([`HOLDFAST_RUN=${run}`, DUMP_PHASE_ENV]);
  if (child) await killOrphans(child, run, child.is === "hook" ? HOOK_LADDER : ladder);
  const unrecorded = await findOrphanEngines(run);
  for (const engine of unrecorded) await killOrphans(engine, run, ladder);
  return unrecorded;
}

async function finishCleanup(
  deps: RunnerDeps,
  { entry, record }: { entry: SpoolEntry; record: RunRecord },
): Promise<string[]> {
  const { after: cleanup } = entry;
  if (cleanup === null) return [];
  try {
    const user = await findUser(cleanup.user);
    const { environment, warnings } = await environmentOf(deps, { cleanup, record });
    const context = { record, fileDirectory: deps.paths.state };
    const failures = await runCleanup(context, { cleanup, user, environment });
    return [...warnings, ...failures.map(({ message }) => message)];
  } catch (error) {
    return [`the after hooks did not run: ${failureOf(error).message}`];
  }
}

/** What was stopped is started again, even if a secret can't be read any more. */
async function environmentOf(
  deps: RunnerDeps,
  { cleanup, record }: { cleanup: Cleanup; record: RunRecord },
): Promise<{ environment: Record<string, string>; warnings: string[] }> {
  if (cleanup.secrets === undefined) return { environment: {}, warnings: [] };
  try {
    const environment = await readEnvironment(deps, cleanup.secrets);
    record.log.hide(Object.values(environment));
    return { environment, warnings: [] };
  } catch (error) {
    return { environment: {}, warnings: [`the after hooks ran without their secrets: ${failureOf(error).message}`] };
  }
}

/** @returns null when the repository can't be accessed any more, or may not be */
async function prepareForLookup(
  deps: RunnerDeps,
  { report, record, assignment }: { report: RunReport; record: RunRecord; assignment: Assignment | null },
): Promise<Prepared | null> {
  const { run } = report;
  const binding = assignment?.bindings.find(({ id, repository }) =>
    run.binding === null ? repository === run.repository : id === run.binding,
  );
  if (assignment === null || binding === undefined) return null;
  try {
    return await prepareAccess(deps, {
      assignment,
      binding,
      run: run.id,
      log: record.log,
      signal: new AbortController().signal,
      onChild: (child) => record.recordChild("engine", child),
      as: "contract",
      mayGenerate: false,
      check: (policy, _contract, repository) => checkRepository(policy, repository),
    });
  } catch (error) {
    record.log.line(lookupFailedMessage(error));
    return null;
  }
}

interface LookupInput {
  readonly report: RunReport;
  readonly record: RunRecord;
  readonly prepared: Prepared;
  readonly engines: readonly ProcessRef[];
}

/** The engine may have stored its snapshot after all, and left its lock. */
async function findStoredSnapshot(
  deps: RunnerDeps,
  { report, record, prepared, engines }: LookupInput,
): Promise<Partial<RunResult>> {
  const { run } = report;
  const { access, provider } = prepared;
  try {
    // Opening takes borg's lock of its own cache, which it does not take from a zombie.
    for (const engine of engines) if (!isAlive(engine)) await untilReaped(engine);
    const repository = await provider.open(access, { mayCreate: false });
    for (const engine of engines) await repository.removeStaleLocks(engine);
    const snapshots = await repository.snapshots();
    const begunAt = run.startedAt ?? instant(deps.clock.now());
    const stored = run.kind === "backup" ? snapshots.findLast(({ takenAt }) => takenAt >= begunAt) : undefined;
    const { engineId } = repository;
    return run.binding === null ? { engineId } : { engineId, snapshots, snapshot: stored?.id ?? null };
  } catch (error) {
    record.log.line(lookupFailedMessage(error));
    return {};
  }
}

function lookupFailedMessage(error: unknown): string {
  return `the repository could not be looked at: ${failureOf(error).message}`;
}

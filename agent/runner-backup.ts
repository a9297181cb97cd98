import type { RunState } from "../shared/run.ts";
import { type ReadyHook, readyHooks, readyScript, runHook } from "./hooks.ts";
import { takeLock } from "./locks.ts";
import { checkBackup } from "./policy-check.ts";
import type { BackupResult, OpenRepository } from "./providers/provider.ts";
import { limitOf, prepare, type Prepared } from "./runner-access.ts";
import { runAfterHooks } from "./runner-after.ts";
import type { RunnerDeps, RunnerInput } from "./runner-deps.ts";
import { checkExcludes } from "./runner-excludes.ts";
import { withWarnings } from "./runner-failure.ts";
import type { Finished } from "./runner-record.ts";
import type { RecordedRun } from "./runner-recorded.ts";
import { examineSources } from "./runner-sources.ts";
import type { AfterObligation } from "./spool.ts";

interface Context {
  readonly deps: RunnerDeps;
  readonly input: RunnerInput;
  readonly run: RecordedRun;
  readonly prepared: Prepared;
  /** What writes the dump, for a database; "" for files. */
  readonly script: string;
}

/** The work of a backup's run: repository, hooks before, sources, engine, hooks after. Throws RunError for an early end. */
export async function performBackup(deps: RunnerDeps, input: RunnerInput, run: RecordedRun): Promise<Finished> {
  const { assignment, binding } = input;
  const { record, signal } = run;
  const prepared = await prepare(deps, {
    ...{ assignment, binding, signal, run: input.runId, log: record.log },
    onChild: (child) => record.noteChild("engine", child),
    as: "contract",
    mayGenerate: true,
    check: (policy, contract, repository) => checkBackup(policy, { contract, repository }),
  });
  const { access, contract, policy, provider } = prepared;
  const askOwner = { paths: deps.paths, policy };
  const script = contract.kind === "files" ? "" : await readyScript(askOwner, contract.request.backupCmd);
  const hooks = await readyHooks(askOwner, contract.kind === "files" ? contract.request.hooks : NO_HOOKS);
  const context = { deps, input, run, prepared, script };
  const lock = await takeLock(deps.paths, {
    name: access.repository.id,
    signal,
    onWait: () => record.log.line("another run works on the repository: waiting for it"),
  });
  try {
    const repository = await provider.open(access, { mayCreate: true });
    return await betweenHooks(context, hooks, async () => {
      const { snapshot, ...result } = await store(context, repository);
      const state = stateOf({ snapshot, ...result });
      return { ...result, state, snapshot: snapshot?.id ?? null, engineId: repository.engineId };
    });
  } finally {
    await lock.release();
  }
}

const NO_HOOKS = { beforeBackup: [], afterBackup: [] };

async function store({ run, prepared, deps, script }: Context, repository: OpenRepository): Promise<BackupResult> {
  const { access, contract, policy } = prepared;
  if (contract.kind === "databasebackup") {
    const name = contract.request.backupName;
    access.log.line(`dump "${name}" as ${access.user.name}`);
    return await repository.dump({ name, script, onProgress: run.onProgress });
  }
  const { sourceDirectories, excludePatterns } = contract.request;
  // Only now: a before hook may make what is to be kept.
  const examined = await examineSources({
    ...{ policy, user: access.user, log: access.log, fileDirectory: deps.paths.state },
    sources: sourceDirectories,
  });
  checkExcludes(examined.sources, excludePatterns);
  const result = await repository.backup({
    sources: examined.sources,
    excludes: excludePatterns,
    onProgress: run.onProgress,
  });
  return { ...result, warnings: [...examined.warnings, ...result.warnings] };
}

function stateOf({ snapshot, failure, warnings }: BackupResult): RunState {
  if (snapshot === null) return failure?.code === "run.cancelled" ? "cancelled" : "failed";
  // Stopped or broken after it was stored: it is usable, but it is not all that was to be done.
  return failure !== null || warnings.length > 0 ? "warned" : "succeeded";
}

/** The after hooks run whenever the before hooks have begun: they are owed, in the spool, before the first one starts. */
async function betweenHooks(
  context: Context,
  hooks: { before: ReadyHook[]; after: ReadyHook[] },
  work: () => Promise<Finished>,
): Promise<Finished> {
  const { deps, input, run, prepared } = context;
  const { contract, access } = prepared;
  const { user } = access;
  const owed: AfterObligation = {
    user: contract.request.user,
    timeLimitMs: limitOf(input.binding.settings, "hookTimeLimit"),
    binding: input.binding.name,
    contract: contract.name,
    hooks: hooks.after,
    resume: [],
  };
  const payBack = () => runAfterHooks({ record: run.record, fileDirectory: deps.paths.state }, { owed, user });
  if (hooks.after.length > 0) await run.record.oweAfter(owed);
  let finished: Finished;
  try {
    for (const hook of hooks.before) await runBefore(context, { hook, owed });
    finished = await work();
  } catch (error) {
    const failures = await payBack();
    throw withWarnings(
      error,
      failures.map(({ message }) => message),
    );
  }
  const failures = await payBack();
  const [first = null] = failures;
  return {
    ...finished,
    warnings: [...finished.warnings, ...failures.map(({ message }) => message)],
    failure: finished.failure ?? first,
    state: finished.state === "succeeded" && first !== null ? "warned" : finished.state,
  };
}

async function runBefore(
  { deps, run, prepared }: Context,
  { hook, owed }: { hook: ReadyHook; owed: AfterObligation },
): Promise<void> {
  const { record, signal } = run;
  await runHook({
    ...{ hook, signal, phase: "before", run: record.id, log: record.log, user: prepared.access.user },
    ...{ binding: owed.binding, contract: owed.contract, timeLimitMs: owed.timeLimitMs },
    fileDirectory: deps.paths.state,
    onStart: (child) => record.noteChild("hook", child),
  });
}

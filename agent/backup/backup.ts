import type { AssignedContract } from "../../shared/assignment.ts";
import type { RunState } from "../../shared/run.ts";
import { type ResolvedHook, resolveHooks, resolveScript, runHook } from "../run/hooks.ts";
import { type Lock, acquireLock } from "../state/locks.ts";
import { checkBackup } from "../policy/check.ts";
import type { BackupResult } from "../providers/provider.ts";
import { prepareEnvironment, withEnvironment } from "../run/environment.ts";
import { readTimeLimit, prepareAccess, type Prepared } from "../run/access.ts";
import { withCleanup, runCleanup } from "../run/cleanup.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import type { RunResult } from "../run/record.ts";
import type { RunContext } from "../run/record-run.ts";
import { storeDump, storeFiles } from "./store.ts";
import type { Cleanup, ResumeCommand } from "../state/spool-entry.ts";

interface Context {
  readonly deps: RunnerDeps;
  readonly input: RunnerInput;
  readonly run: RunContext;
  readonly prepared: Prepared;
  /** Secrets for hooks and commands, by variable. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The work of a backup run: repository, before hooks, sources, engine, after hooks. Throws RunError for an early end.
 */
export async function performBackup(deps: RunnerDeps, input: RunnerInput, run: RunContext): Promise<RunResult> {
  const { assignment, binding } = input;
  const { record, signal } = run;
  const prepared = await prepareAccess(deps, {
    assignment,
    binding,
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.recordChild("engine", child),
    as: "contract",
    mayGenerate: true,
    check: (policy, contract, repository) => checkBackup(policy, { contract, repository }),
  });
  const { access, contract, policy, provider } = prepared;
  const environment = await prepareEnvironment(deps, { prepared, binding });
  const hookDeps = { paths: deps.paths, policy };
  const script = contract.kind === "files" ? "" : await resolveScript(hookDeps, contract.request.backupCmd);
  const hooks = await resolveHooks(hookDeps, contract.kind === "files" ? contract.request.hooks : NO_HOOKS);
  const context = { deps, input, run, prepared, environment };
  const acquire = (name: string, why: string): Promise<Lock> =>
    run.whileWaiting(
      acquireLock(deps.paths, { name, signal, onWait: () => record.log.line(`${why}: waiting for it`) }),
    );
  const locks = [await acquire(access.repository.id, "another run works on the repository")];
  try {
    // Without this lock, the run that ends first would start services the other run still needs stopped.
    if (haltsServices(contract))
      locks.push(await acquire(contract.id, "another run of the contract has halted services"));
    // A service is not stopped for a repository that may be out of reach: one engine start more.
    const isHarmless = hooks.before.length === 0 && !haltsServices(contract);
    const repository = await provider.open(access, { mayCreate: true, recall: isHarmless ? "assumed" : "confirmed" });
    return await withHooks(context, hooks, async (addCleanup) => {
      const work = {
        deps,
        run,
        prepared,
        repository,
        settings: binding.settings,
        binding: binding.name,
        isAccepted: input.acceptSources === true,
      };
      const { snapshot, ...result } =
        contract.kind === "files"
          ? await storeFiles(work, contract, addCleanup)
          : await storeDump(work, contract, withEnvironment(script, environment));
      const state = stateOf({ snapshot, ...result });
      return { ...result, state, snapshot: snapshot?.id ?? null, engineId: repository.engineId };
    });
  } finally {
    for (const lock of locks.toReversed()) await lock.release();
  }
}

function haltsServices(contract: AssignedContract): boolean {
  return contract.kind === "files" && contract.consistency.some((entry) => "stop" in entry || "pause" in entry);
}

const NO_HOOKS = { beforeBackup: [], afterBackup: [] };

function stateOf({ snapshot, failure, warnings }: BackupResult): RunState {
  if (snapshot === null) return failure?.code === "run.cancelled" ? "cancelled" : "failed";
  // Cancelled or failed after the snapshot was stored: it is usable, but not everything was done.
  return failure !== null || warnings.length > 0 ? "warned" : "succeeded";
}

/**
 * After hooks run whenever before hooks have begun: the cleanup is in the spool before the first before hook starts.
 */
async function withHooks(
  context: Context,
  hooks: { before: ResolvedHook[]; after: ResolvedHook[] },
  work: (addCleanup: (resumption: ResumeCommand) => Promise<void>) => Promise<RunResult>,
): Promise<RunResult> {
  const { deps, input, run, prepared, environment } = context;
  const { contract, access } = prepared;
  const { user } = access;
  let cleanup: Cleanup = {
    user: contract.request.user,
    timeLimitMs: readTimeLimit(input.binding.settings, "hookTimeLimit"),
    binding: input.binding.name,
    contract: contract.name,
    hooks: hooks.after,
    ...secretsOf(context),
    resume: [],
  };
  const addCleanup = async (resumption: ResumeCommand): Promise<void> => {
    cleanup = { ...cleanup, resume: [...cleanup.resume, resumption] };
    await run.record.addCleanup(cleanup);
  };
  const cleanUp = () =>
    runCleanup({ record: run.record, fileDirectory: deps.paths.state }, { cleanup, user, environment });
  if (hooks.after.length > 0) await run.record.addCleanup(cleanup);
  return await withCleanup(cleanUp, async () => {
    for (const hook of hooks.before) await runBeforeHook(context, { hook, cleanup });
    return await work(addCleanup);
  });
}

/** For the cleanup after a crash: where the secrets come from, never what they are. */
function secretsOf({ input, prepared }: Context): Pick<Cleanup, "secrets"> {
  const { environment } = input.binding.settings;
  const { name, provider, location } = prepared.access.repository;
  return environment === undefined ? {} : { secrets: { environment, repository: { name, provider, location } } };
}

async function runBeforeHook(
  { deps, run, prepared, environment }: Context,
  { hook, cleanup }: { hook: ResolvedHook; cleanup: Cleanup },
): Promise<void> {
  const { record, signal } = run;
  await runHook({
    hook,
    signal,
    phase: "before",
    environment,
    run: record.id,
    log: record.log,
    user: prepared.access.user,
    binding: cleanup.binding,
    contract: cleanup.contract,
    timeLimitMs: cleanup.timeLimitMs,
    fileDirectory: deps.paths.state,
    beforeStart: (child) => record.recordChild("hook", child),
  });
}

import type { AssignedContract } from "../../shared/assignment.ts";
import type { RunState } from "../../shared/run.ts";
import { type ReadyHook, readyHooks, readyScript, runHook } from "../run/hooks.ts";
import { type Lock, takeLock } from "../state/locks.ts";
import { checkBackup } from "../policy/check.ts";
import type { BackupResult } from "../providers/provider.ts";
import { limitOf, prepare, type Prepared } from "../run/access.ts";
import { payingBack, runAfterHooks } from "../run/cleanup.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import type { Finished } from "../run/record.ts";
import type { RecordedRun } from "../run/recorded.ts";
import { storeDump, storeFiles } from "./store.ts";
import type { AfterObligation, Resumption } from "../state/spool-entry.ts";

interface Context {
  readonly deps: RunnerDeps;
  readonly input: RunnerInput;
  readonly run: RecordedRun;
  readonly prepared: Prepared;
}

/** The work of a backup's run: repository, hooks before, sources, engine, hooks after. Throws RunError for an early end. */
export async function performBackup(deps: RunnerDeps, input: RunnerInput, run: RecordedRun): Promise<Finished> {
  const { assignment, binding } = input;
  const { record, signal } = run;
  const prepared = await prepare(deps, {
    assignment,
    binding,
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.noteChild("engine", child),
    as: "contract",
    mayGenerate: true,
    check: (policy, contract, repository) => checkBackup(policy, { contract, repository }),
  });
  const { access, contract, policy, provider } = prepared;
  const askOwner = { paths: deps.paths, policy };
  const script = contract.kind === "files" ? "" : await readyScript(askOwner, contract.request.backupCmd);
  const hooks = await readyHooks(askOwner, contract.kind === "files" ? contract.request.hooks : NO_HOOKS);
  const context = { deps, input, run, prepared };
  const take = (name: string, why: string): Promise<Lock> =>
    run.waiting(takeLock(deps.paths, { name, signal, onWait: () => record.log.line(`${why}: waiting for it`) }));
  const locks = [await take(access.repository.id, "another run works on the repository")];
  try {
    // Else the one that ends first would set going what the other still needs to stand still.
    if (haltsSomething(contract))
      locks.push(await take(contract.id, "another run of the contract has halted services"));
    const repository = await provider.open(access, { mayCreate: true });
    return await betweenHooks(context, hooks, async (owe) => {
      const work = {
        deps,
        run,
        prepared,
        repository,
        settings: binding.settings,
        isAccepted: input.acceptSources === true,
      };
      const { snapshot, ...result } =
        contract.kind === "files" ? await storeFiles(work, contract, owe) : await storeDump(work, contract, script);
      const state = stateOf({ snapshot, ...result });
      return { ...result, state, snapshot: snapshot?.id ?? null, engineId: repository.engineId };
    });
  } finally {
    for (const lock of locks.toReversed()) await lock.release();
  }
}

function haltsSomething(contract: AssignedContract): boolean {
  return contract.kind === "files" && contract.consistency.some((entry) => "stop" in entry || "pause" in entry);
}

const NO_HOOKS = { beforeBackup: [], afterBackup: [] };

function stateOf({ snapshot, failure, warnings }: BackupResult): RunState {
  if (snapshot === null) return failure?.code === "run.cancelled" ? "cancelled" : "failed";
  // Stopped or broken after it was stored: it is usable, but it is not all that was to be done.
  return failure !== null || warnings.length > 0 ? "warned" : "succeeded";
}

/** The after hooks run whenever the before hooks have begun: they are owed, in the spool, before the first one starts. */
async function betweenHooks(
  context: Context,
  hooks: { before: ReadyHook[]; after: ReadyHook[] },
  work: (owe: (resumption: Resumption) => Promise<void>) => Promise<Finished>,
): Promise<Finished> {
  const { deps, input, run, prepared } = context;
  const { contract, access } = prepared;
  const { user } = access;
  let owed: AfterObligation = {
    user: contract.request.user,
    timeLimitMs: limitOf(input.binding.settings, "hookTimeLimit"),
    binding: input.binding.name,
    contract: contract.name,
    hooks: hooks.after,
    resume: [],
  };
  const owe = async (resumption: Resumption): Promise<void> => {
    owed = { ...owed, resume: [...owed.resume, resumption] };
    await run.record.oweAfter(owed);
  };
  const payBack = () => runAfterHooks({ record: run.record, fileDirectory: deps.paths.state }, { owed, user });
  if (hooks.after.length > 0) await run.record.oweAfter(owed);
  return await payingBack(payBack, async () => {
    for (const hook of hooks.before) await runBefore(context, { hook, owed });
    return await work(owe);
  });
}

async function runBefore(
  { deps, run, prepared }: Context,
  { hook, owed }: { hook: ReadyHook; owed: AfterObligation },
): Promise<void> {
  const { record, signal } = run;
  await runHook({
    hook,
    signal,
    phase: "before",
    run: record.id,
    log: record.log,
    user: prepared.access.user,
    binding: owed.binding,
    contract: owed.contract,
    timeLimitMs: owed.timeLimitMs,
    fileDirectory: deps.paths.state,
    beforeStart: (child) => record.noteChild("hook", child),
  });
}

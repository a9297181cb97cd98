import type { AssignedContract } from "../../shared/assignment.ts";
import type { Settings } from "../../shared/binding.ts";
import { literalPattern, stageDatabases, type StagedSource } from "../consistency/consistency.ts";
import type { CommandContext } from "../consistency/run-command.ts";
import { requireApproval } from "../in-force/gate.ts";
import type { Paths } from "../config.ts";
import { isWithin } from "../policy/check.ts";
import { ownSecrets } from "../policy/protected.ts";
import { findHalts, halt } from "../consistency/services.ts";
import type { BackupResult, OpenRepository } from "../providers/provider.ts";
import { readTimeLimit, type Prepared } from "../run/access.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { restoreFault } from "../run/restore-command.ts";
import { ASIDE_PATTERN, checkExcludes } from "./excludes.ts";
import { failureOf } from "../run-error.ts";
import type { RunContext } from "../run/record-run.ts";
import { countNotRemembered, describeLeftOut, describeNotKept } from "./not-kept.ts";
import { checkSources } from "./sources.ts";
import { startSourceCheck } from "./suspicion.ts";
import { recordKeptOtherwise } from "../state/kept-otherwise.ts";
import { removeAll } from "../system/remove-all.ts";
import type { ResumeCommand } from "../state/spool-entry.ts";
import { stagingDirectory } from "../consistency/staging.ts";

interface StoreInput {
  readonly deps: RunnerDeps;
  readonly run: RunContext;
  readonly prepared: Prepared;
  readonly repository: OpenRepository;
  /** The binding's name. */
  readonly binding: string;
  readonly settings: Settings;
  /** A person has confirmed that the sources are as they should be. */
  readonly isAccepted: boolean;
}

/** Stores the output of a database's backup command. Warns on a good day that a restore would fail. */
export async function storeDump(
  { deps, run, prepared, repository, binding }: StoreInput,
  contract: Extract<AssignedContract, { kind: "databasebackup" }>,
  script: string,
): Promise<BackupResult & { isStoredWhole: boolean }> {
  const name = contract.request.backupName;
  prepared.access.log.line(`dump "${name}" as ${prepared.access.user.name}`);
  const result = await repository.dump({ name, script, onProgress: run.onProgress });
  const isStoredWhole = result.snapshot !== null && result.failure === null && result.warnings.length === 0;
  if (result.snapshot === null) return { ...result, isStoredWhole };
  const fault = await restoreFault(deps, { contract, policy: prepared.policy, binding });
  if (fault === null) return { ...result, isStoredWhole };
  const warning = `a restore of it would fail: ${fault.failure.message}. ${fault.failure.next}`;
  return { ...result, isStoredWhole, warnings: [...result.warnings, warning] };
}

/**
 * Stores the contract's sources with its database copies and dumps, while the services it names are stopped.
 * @param addCleanup records, before a service is stopped, the command that starts it again
 */
export async function storeFiles(
  work: StoreInput,
  contract: Extract<AssignedContract, { kind: "files" }>,
  addCleanup: (resumption: ResumeCommand) => Promise<void>,
): Promise<BackupResult & { suspicious: string | null; isStoredWhole?: boolean }> {
  const { deps, prepared, repository, run } = work;
  const { access, policy } = prepared;
  const { sourceDirectories, excludePatterns } = contract.request;
  // Not earlier: a before hook may create the sources.
  const checked = await checkSources({
    paths: deps.paths,
    requireApproval: (asks) => requireApproval(deps, { asks, policy, binding: work.binding }),
    policy,
    user: access.user,
    log: access.log,
    fileDirectory: deps.paths.state,
    sources: sourceDirectories,
  });
  checkExcludes(checked.sources, excludePatterns);
  const tool = repository.contents();
  const sourceCheck = await startSourceCheck({
    paths: deps.paths,
    log: access.log,
    binding: access.scope.binding,
    sources: checked.sources,
    excludes: excludePatterns,
    mountPoints: contract.mountPoints,
    shrinkage: work.settings.shrinkage,
    signal: run.signal,
    isAccepted: work.isAccepted,
    tool,
  });
  const context: CommandContext = {
    run: run.record.id,
    log: run.record.log,
    signal: run.signal,
    beforeStart: (child) => run.record.recordChild("hook", child),
  };
  const timeLimitMs = readTimeLimit(work.settings, "hookTimeLimit");
  for (const one of await findHalts({ ...context, timeLimitMs }, contract.consistency)) {
    await addCleanup(one.resumption);
    await halt({ ...context, timeLimitMs }, one);
  }
  const binding = access.scope.binding;
  try {
    const input = { paths: deps.paths, binding, user: access.user, policy, entries: contract.consistency };
    const staged = await stageDatabases(context, input);
    const result = await repository.backup({
      sources: addStagedSource(checked.sources, staged),
      excludes: [
        ...excludePatterns,
        ...(staged?.excludes ?? []),
        ASIDE_PATTERN,
        ...ownExcludes(deps.paths, checked.sources),
      ],
      onProgress: run.onProgress,
    });
    const seen = await sourceCheck.ended.catch(() => null);
    // The run was stopped while its sources were looked at.
    if (seen === null) return { ...result, warnings: [...checked.warnings, ...result.warnings], suspicious: null };
    const leftOut = describeLeftOut(seen.measured);
    if (leftOut !== null) access.log.line(leftOut);
    const remember = async (snapshot: string): Promise<void> => {
      await seen.record();
      await recordKeptOtherwise(deps.paths, {
        binding,
        engineId: repository.engineId,
        snapshot,
        listed: result.snapshots?.map(({ id }) => id) ?? null,
        entries: [...seen.measured.keptOtherwise],
        more: countNotRemembered(seen.measured),
      });
    };
    const recordWarnings = result.snapshot === null ? [] : await warnIfNotRecorded(remember(result.snapshot.id));
    const suspicions = seen.suspicion === null ? [] : [seen.suspicion];
    const notKept = describeNotKept(tool.keeps, seen.measured).map(access.log.redact);
    // What the tool can't keep is in the sources for good, and would hold up the retention for good.
    const ofSnapshot = [...suspicions, ...checked.warnings, ...result.warnings, ...recordWarnings];
    const isStoredWhole = result.snapshot !== null && result.failure === null && ofSnapshot.length === 0;
    return { ...result, warnings: [...ofSnapshot, ...notKept], suspicious: seen.suspicion, isStoredWhole };
  } finally {
    await removeAll(stagingDirectory(deps.paths, binding));
  }
}

/** A stored snapshot stays a backup, even if this host can't record what it knows of its sources. */
async function warnIfNotRecorded(recording: Promise<void>): Promise<string[]> {
  return await recording.then(
    () => [],
    (error: unknown) => [`what is known of the sources is not recorded: ${failureOf(error).message}`],
  );
}

/** The agent's own keys and memory are in no backup. */
function ownExcludes(paths: Paths, sources: readonly string[]): string[] {
  return ownSecrets(paths)
    .filter((own) => sources.some((source) => isWithin(own, source)))
    .map(literalPattern);
}

/** A live database that is itself a source is stored only as its copy. */
function addStagedSource(sources: readonly string[], staged: StagedSource | null): readonly string[] {
  if (staged === null) return sources;
  return [...sources.filter((source) => !staged.databases.includes(source)), staged.directory];
}

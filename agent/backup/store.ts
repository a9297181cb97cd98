import { rm } from "node:fs/promises";
import type { AssignedContract } from "../../shared/assignment.ts";
import type { Settings } from "../../shared/binding.ts";
import { stage, type Staged } from "../consistency/consistency.ts";
import type { Doing } from "../consistency/run.ts";
import { findHalts, halt } from "../consistency/services.ts";
import type { BackupResult, OpenRepository } from "../providers/provider.ts";
import { limitOf, type Prepared } from "../run/access.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { checkExcludes } from "./excludes.ts";
import { failureOf } from "../run-error.ts";
import type { RecordedRun } from "../run/recorded.ts";
import { examineSources } from "./sources.ts";
import { lookAtSources } from "./suspicion.ts";
import type { Resumption } from "../state/spool-entry.ts";
import { stagingDirectory } from "../consistency/staging.ts";

interface StoreWork {
  readonly deps: RunnerDeps;
  readonly run: RecordedRun;
  readonly prepared: Prepared;
  readonly repository: OpenRepository;
  readonly settings: Settings;
  /** A person says that the sources are as they should be. */
  readonly isAccepted: boolean;
}

/** Stores what a database's command writes. */
export async function storeDump(
  { run, prepared, repository }: StoreWork,
  contract: Extract<AssignedContract, { kind: "databasebackup" }>,
  script: string,
): Promise<BackupResult> {
  const name = contract.request.backupName;
  prepared.access.log.line(`dump "${name}" as ${prepared.access.user.name}`);
  return await repository.dump({ name, script, onProgress: run.onProgress });
}

/**
 * Stores the contract's sources, with what has to be copied or dumped beside them, while what has to stand still does.
 * @param owe writes down, before something is halted, what will set it going again
 */
export async function storeFiles(
  work: StoreWork,
  contract: Extract<AssignedContract, { kind: "files" }>,
  owe: (resumption: Resumption) => Promise<void>,
): Promise<BackupResult & { suspicious: string | null }> {
  const { deps, prepared, repository, run } = work;
  const { access, policy } = prepared;
  const { sourceDirectories, excludePatterns } = contract.request;
  // Only now: a before hook may make what is to be kept.
  const examined = await examineSources({
    policy,
    user: access.user,
    log: access.log,
    fileDirectory: deps.paths.state,
    sources: sourceDirectories,
  });
  checkExcludes(examined.sources, excludePatterns);
  const look = await lookAtSources({
    paths: deps.paths,
    log: access.log,
    binding: access.scope.binding,
    sources: examined.sources,
    excludes: excludePatterns,
    mountPoints: contract.mountPoints,
    shrinkage: work.settings.shrinkage,
    signal: run.signal,
    isAccepted: work.isAccepted,
  });
  const doing: Doing = {
    run: run.record.id,
    log: run.record.log,
    signal: run.signal,
    beforeStart: (child) => run.record.noteChild("hook", child),
  };
  const timeLimitMs = limitOf(work.settings, "hookTimeLimit");
  for (const one of await findHalts({ ...doing, timeLimitMs }, contract.consistency)) {
    await owe(one.resumption);
    await halt({ ...doing, timeLimitMs }, one);
  }
  const binding = access.scope.binding;
  try {
    const input = { paths: deps.paths, binding, user: access.user, policy, entries: contract.consistency };
    const staged = await stage(doing, input);
    const result = await repository.backup({
      sources: withStaged(examined.sources, staged),
      excludes: [...excludePatterns, ...(staged?.excludes ?? [])],
      onProgress: run.onProgress,
    });
    const unremembered = result.snapshot === null ? [] : await unlessRemembered(look.remember());
    const suspicions = look.suspicion === null ? [] : [look.suspicion];
    const warnings = [...suspicions, ...examined.warnings, ...result.warnings, ...unremembered];
    return { ...result, warnings, suspicious: look.suspicion };
  } finally {
    await rm(stagingDirectory(deps.paths, binding), { recursive: true, force: true });
  }
}

/** What is stored stays a backup, also when this host can't write down what it was of. */
async function unlessRemembered(remembering: Promise<void>): Promise<string[]> {
  return await remembering.then(
    () => [],
    (error: unknown) => [`what the sources are like is not remembered: ${failureOf(error).message}`],
  );
}

/** A live database that is a source by itself is kept by its copy alone. */
function withStaged(sources: readonly string[], staged: Staged | null): readonly string[] {
  if (staged === null) return sources;
  return [...sources.filter((source) => !staged.databases.includes(source)), staged.directory];
}

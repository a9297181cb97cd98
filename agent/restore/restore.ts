import { rm } from "node:fs/promises";
import { join, relative } from "node:path";
import type { RestoreRequest } from "../../shared/assignment.ts";
import type { Consistency } from "../../shared/consistency.ts";
import { sqliteFilePatterns } from "../consistency/consistency.ts";
import type { CommandContext } from "../consistency/run-command.ts";
import type { Policy } from "../policy/policy.ts";
import {
  checkRepository,
  checkRestore,
  checkRestoreUser,
  checkSource,
  checkUser,
  isWithin,
  PolicyError,
} from "../policy/check.ts";
import { type Aside, type Kept, openAside } from "./aside.ts";
import { KEPT_DAYS } from "./aside-record.ts";
import { restoreFiles } from "./files.ts";
import type { RestoreResult } from "./request.ts";
import { restoreDatabase } from "./database.ts";
import { putRight } from "./put-right.ts";
import { requireKnownSnapshot } from "./known-snapshot.ts";
import { chooseSnapshot } from "./snapshot.ts";
import { realPathByOurLinks } from "./ours.ts";
import { checkStaged, fetchStaged, restoreStaged, removeStagingFrom, excludeStaged } from "./staged.ts";
import { prepareTarget } from "./target.ts";
import { prepareAccess } from "../run/access.ts";
import type { RunnerDeps, RunnerInput } from "../run/deps.ts";
import type { RunResult } from "../run/record.ts";
import type { RunContext } from "../run/record-run.ts";
import type { RunLog } from "../run-log.ts";
import { restoreWorkDirectory } from "../consistency/staging.ts";
import { readKeptOtherwise } from "../state/kept-otherwise.ts";
import { realPathIfExists } from "../system/real-path.ts";

/**
 * The work of a restore run. It takes no lock, since it only reads the repository: it need not wait for a backup.
 * Throws RunError for an early end.
 */
export async function performRestore(
  deps: RunnerDeps,
  input: RunnerInput & {
    readonly restore: RestoreRequest;
    /** Whether what is replaced or removed is kept; left out: when the control plane ordered it. */
    readonly keepReplaced?: boolean;
    readonly stopServices: () => Promise<void>;
  },
  run: RunContext,
): Promise<RunResult> {
  const { assignment, binding, restore } = input;
  const { record, signal } = run;
  const prepared = await prepareAccess(deps, {
    assignment,
    binding,
    signal,
    run: input.runId,
    log: record.log,
    onChild: (child) => record.recordChild("engine", child),
    as: "agent",
    mayGenerate: false,
    check(policy, contract, repository) {
      checkRestore(policy, restore);
      checkRepository(policy, repository);
      if (contract.kind !== "databasebackup") return;
      checkUser(policy, contract.request.user);
      checkRestoreUser(policy, contract);
    },
  });
  const { contract, policy } = prepared;
  if (contract.kind === "databasebackup" && restore.target === null) {
    return await restoreDatabase(deps, {
      prepared,
      contract,
      binding,
      restore,
      trigger: input.trigger,
    });
  }
  const sources = contract.kind === "files" ? contract.request.sourceDirectories : [];
  const databases = contract.kind === "files" ? contract.consistency.flatMap(sqliteOf) : [];
  const include =
    restore.target === null ? await resolveInPlacePaths({ sources, databases, restore, policy }) : restore.include;
  const target =
    restore.target === null ? null : await prepareTarget(deps.paths, { target: restore.target, restore, policy });
  const repository = await prepared.provider.open(prepared.access, { mayCreate: false });
  const snapshots = await repository.snapshots();
  const chosen = chooseSnapshot(snapshots, { wanted: restore.snapshot, binding: binding.name });
  const { id: snapshot } = chosen;
  await requireKnownSnapshot(deps, {
    policy,
    binding,
    snapshots,
    snapshot,
    restore,
    trigger: input.trigger,
    engineId: repository.engineId,
  });
  const place = restore.target ?? "where they were";
  record.log.line(`restoring ${include.length === 0 ? "everything" : include.join(", ")} of ${snapshot} to ${place}`);
  const work = restoreWorkDirectory(deps.paths, input.runId);
  const aside = openAside({
    paths: deps.paths,
    run: input.runId,
    clock: deps.clock,
    keepsReplaced: input.keepReplaced ?? (input.trigger === "order" && policy.level !== "open"),
  });
  return await withAside({ aside, work, log: record.log }, async () => {
    const staged = await fetchStaged({
      repository,
      access: prepared.access,
      snapshot: chosen,
      binding: binding.id,
      work,
    });
    const forEngine = staged === null ? include : await excludeStaged(include, staged);
    const options = {
      aside,
      isTargetClosed: target?.isClosed ?? false,
      named: input.trigger === "manual" ? restore.include : [],
      snapshot,
      target: target?.path ?? null,
      include: forEngine,
      overwrite: restore.overwrite,
      delete: restore.delete,
      dryRun: restore.dryRun,
      verify: restore.verify && target === null,
      onProgress: run.onProgress,
      beforeWriting: input.stopServices,
      excludes:
        contract.kind === "files"
          ? [...contract.request.excludePatterns, ...databases.flatMap(sqliteFilePatterns)]
          : [],
    };
    const context: CommandContext = {
      run: record.id,
      log: record.log,
      signal,
      beforeStart: (child) => record.recordChild("hook", child),
    };
    const loadsDumps = target === null && restore.include.length === 0 && !restore.dryRun;
    if (staged !== null && contract.kind === "files" && loadsDumps)
      await checkStaged(context, { staged, contract, policy });
    const isStagedOnly = include.length > 0 && forEngine.length === 0;
    const remembered = await readKeptOtherwise(deps.paths, {
      binding: binding.id,
      engineId: repository.engineId,
      snapshot,
    });
    const contents = () => putRight(repository.contents(), { ...remembered, log: record.log });
    const result = isStagedOnly ? EMPTY_RESULT : await restoreFiles({ contents }, prepared.access, options);
    const known = { ...result, snapshot, snapshots, engineId: repository.engineId };
    if (staged === null || contract.kind !== "files" || result.failure !== null)
      return { ...known, state: stateOf(result) };
    if (target !== null && !restore.dryRun) removeStagingFrom(target.path, staged);
    if (isStagedOnly && !restore.dryRun) await input.stopServices();
    const fromStaging = await restoreStaged(context, {
      paths: deps.paths,
      staged,
      contract,
      policy,
      restore: { ...restore, target: target?.path ?? null },
      aside,
    });
    const stats = { ...result.stats, databasesRestored: fromStaging.items.length };
    const items = restore.dryRun ? [...result.items, ...fromStaging.items] : result.items;
    const warnings = [...result.warnings, ...fromStaging.warnings];
    return { ...known, state: stateOf({ ...result, warnings }), warnings, stats, items };
  });
}

/** Restores, removes what it needed for that, and says where the replaced files are. */
async function withAside(
  { aside, work, log }: { aside: Aside; work: string; log: RunLog },
  restoring: () => Promise<RunResult>,
): Promise<RunResult> {
  let kept = NOTHING_KEPT;
  let result: RunResult;
  try {
    result = await restoring();
  } finally {
    await rm(work, { recursive: true, force: true });
    kept = await aside.close();
    for (const place of kept.places) log.line(`replaced files are kept in ${place} for ${KEPT_DAYS} days`);
  }
  if (kept.count === 0) return result;
  return { ...result, stats: { ...result.stats, filesKeptAside: kept.count, keptAsideIn: [...kept.places] } };
}

const NOTHING_KEPT: Kept = { count: 0, places: [] };

const EMPTY_RESULT: RestoreResult = { failure: null, warnings: [], stats: {}, items: [] };

function stateOf({ failure, warnings }: RestoreResult): RunResult["state"] {
  if (failure !== null) return "failed";
  return warnings.length > 0 ? "warned" : "succeeded";
}

function sqliteOf(entry: Consistency): string[] {
  return "sqlite" in entry ? [entry.sqlite] : [];
}

/**
 * In place, only the contract's own paths may be written. Paths are given as in the contract, and looked up as in the
 * snapshot: with symbolic links resolved. Throws for a link that others than root may have put there.
 */
async function resolveInPlacePaths({
  sources,
  databases,
  restore,
  policy,
}: {
  sources: readonly string[];
  /** Copied databases: restored separately. */
  databases: readonly string[];
  restore: RestoreRequest;
  policy: Policy;
}): Promise<string[]> {
  const places = await Promise.all(
    [...sources, ...databases].map(async (source) => ({ source, path: (await realPathIfExists(source)) ?? source })),
  );
  for (const { source, path } of places) {
    checkSource(policy, source);
    checkSource(policy, path);
  }
  if (restore.include.length === 0) {
    return [...new Set(places.slice(0, sources.length).map(({ source }) => realPathByOurLinks(source)))];
  }
  return restore.include.map((wanted) => {
    const exact = places.find(({ path }) => isWithin(wanted, path));
    if (exact !== undefined) return join(realPathByOurLinks(exact.source), relative(exact.path, wanted));
    const named = places.find(({ source }) => isWithin(wanted, source));
    if (named !== undefined) return join(realPathByOurLinks(named.source), relative(named.source, wanted));
    throw new PolicyError(
      "policy.restore",
      `${wanted} is not inside the contract's source directories: it can be restored to a directory only, with a target`,
    );
  });
}

import type { AssignedBinding, AssignedContract, RestoreRequest } from "../../shared/assignment.ts";
import type { SnapshotFacts, Trigger } from "../../shared/run.ts";
import { prepareEnvironment, withEnvironment } from "../run/environment.ts";
import { commandFault, resolveRestoreCommand } from "../run/restore-command.ts";
import { requireKnownSnapshot } from "./known-snapshot.ts";
import { chooseSnapshot } from "./snapshot.ts";
import type { Prepared } from "../run/access.ts";
import type { LoadResult } from "../providers/provider.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { runError } from "../run-error.ts";
import type { RunResult } from "../run/record.ts";

interface RestoreDatabaseInput {
  readonly prepared: Prepared;
  readonly contract: Extract<AssignedContract, { kind: "databasebackup" }>;
  readonly binding: AssignedBinding;
  readonly restore: RestoreRequest;
  readonly trigger: Trigger;
}

/**
 * Restores a database in place: feeds the dump to the contract's restoreCmd, after looking whether that can run at all.
 * Throws RunError.
 */
export async function restoreDatabase(
  deps: RunnerDeps,
  { prepared, contract, binding, restore, trigger }: RestoreDatabaseInput,
): Promise<RunResult> {
  const { access, policy, provider } = prepared;
  if (restore.include.length > 0) {
    throw runError(
      "restore.nothing_matched",
      "a database is restored as a whole; nothing was restored",
      "Leave the paths out, or restore the dump's file to a directory, with a target.",
    );
  }
  const command = await resolveRestoreCommand(deps, { contract, policy, binding: binding.name });
  const fault = await commandFault(command);
  if (fault !== null) throw fault;
  const { user } = command;
  // Root may read them anyway.
  const reader = user.uid === 0 ? contract.request.user : (contract.restoreUser ?? contract.request.user);
  const environment = await prepareEnvironment(deps, { prepared, binding, user: reader });
  const script = withEnvironment(command.script, environment);
  const repository = await provider.open(access, { mayCreate: false });
  const snapshots = await repository.snapshots();
  const { id: snapshot } = chooseSnapshot(snapshots, { wanted: restore.snapshot, binding: binding.name });
  const { engineId } = repository;
  await requireKnownSnapshot(deps, { trigger, policy, binding, engineId, snapshots, snapshot, restore });
  const name = contract.request.backupName;
  requireDump(snapshots, { snapshot, name });
  const known = { stats: null, snapshot, snapshots, engineId };
  if (restore.dryRun) {
    return {
      ...known,
      warnings: [],
      state: "succeeded",
      failure: null,
      items: [{ path: `/${name}`, action: "update" }],
    };
  }
  access.log.line(`loading "${name}" of ${snapshot} as ${user.name}`);
  const { failure, warnings } = await repository.load({ snapshot, name, script, user });
  return { ...known, state: stateOf({ failure, warnings }), failure, warnings };
}

function stateOf({ failure, warnings }: LoadResult): RunResult["state"] {
  if (failure === null) return warnings.length > 0 ? "warned" : "succeeded";
  return failure.code === "run.cancelled" ? "cancelled" : "failed";
}

/** @throws `restore.nothing_matched` when the snapshot is known to have no such dump */
function requireDump(
  snapshots: readonly SnapshotFacts[],
  { snapshot, name }: { snapshot: string; name: string },
): void {
  const paths = snapshots.find(({ id }) => id === snapshot)?.paths ?? [];
  if (paths.length === 0 || paths.includes(`/${name}`)) return;
  const has = paths.map((path) => path.replace(/^\//, "")).join(", ");
  throw runError(
    "restore.nothing_matched",
    `snapshot ${snapshot.slice(0, 8)} has no dump "${name}": it has ${has}; nothing was restored`,
    `The contract's backupName is another than at that backup: set it to what the snapshot has, then restore again.`,
  );
}

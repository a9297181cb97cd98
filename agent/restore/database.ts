import type { AssignedBinding, RestoreRequest } from "../../shared/assignment.ts";
import type { DatabaseRequest } from "../../shared/contract.ts";
import type { Trigger } from "../../shared/run.ts";
import { prepareEnvironment, withEnvironment } from "../run/environment.ts";
import { resolveScript } from "../run/hooks.ts";
import { findUser } from "../system/process/find-user.ts";
import { requireKnownSnapshot } from "./known-snapshot.ts";
import { chooseSnapshot } from "./snapshot.ts";
import type { Prepared } from "../run/access.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { runError } from "../run-error.ts";
import type { RunResult } from "../run/record.ts";

interface RestoreDatabaseInput {
  readonly prepared: Prepared;
  readonly request: DatabaseRequest;
  readonly binding: AssignedBinding;
  readonly restore: RestoreRequest;
  readonly trigger: Trigger;
}

/** Restores a database in place: feeds the dump to the contract's restoreCmd. Throws RunError. */
export async function restoreDatabase(
  deps: RunnerDeps,
  { prepared, request, binding, restore, trigger }: RestoreDatabaseInput,
): Promise<RunResult> {
  const { access, policy, provider } = prepared;
  if (restore.include.length > 0) {
    throw runError(
      "restore.nothing_matched",
      "a database is restored as a whole; nothing was restored",
      "Leave the paths out, or restore the dump's file to a directory, with a target.",
    );
  }
  const environment = await prepareEnvironment(deps, { prepared, binding });
  const command = await resolveScript({ paths: deps.paths, policy }, request.restoreCmd);
  const script = withEnvironment(command, environment);
  const user = await findUser(request.user);
  const repository = await provider.open(access, { mayCreate: false });
  const snapshots = await repository.snapshots();
  const { id: snapshot } = chooseSnapshot(snapshots, { wanted: restore.snapshot, binding: binding.name });
  const { engineId } = repository;
  await requireKnownSnapshot(deps, { trigger, policy, binding, engineId, snapshots, snapshot, restore });
  const name = request.backupName;
  const known = { warnings: [], stats: null, snapshot, snapshots, engineId };
  if (restore.dryRun) {
    return { ...known, state: "succeeded", failure: null, items: [{ path: `/${name}`, action: "update" }] };
  }
  access.log.line(`loading "${name}" of ${snapshot} as ${user.name}`);
  const failure = await repository.load({ snapshot, name, script, user });
  const state = failure === null ? "succeeded" : failure.code === "run.cancelled" ? "cancelled" : "failed";
  return { ...known, state, failure };
}

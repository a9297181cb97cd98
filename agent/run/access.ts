import type { AssignedBinding, AssignedContract, Assignment } from "../../shared/assignment.ts";
import type { Settings } from "../../shared/binding.ts";
import type { Id } from "../../shared/ids.ts";
import { parseTimeSpan } from "../../shared/schedule.ts";
import { resolveContract } from "../declared/policy.ts";
import type { Policy } from "../policy/policy.ts";
import { requireGranted } from "../in-force/gate.ts";
import { ENGINE_LADDER } from "../system/process/kill-ladder.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import { ownUser } from "../system/process/user.ts";
import { findUser } from "../system/process/find-user.ts";
import { providerOf } from "../providers/engines.ts";
import type { Access, EngineTimeouts, Provider } from "../providers/provider.ts";
import { knownEngineIds } from "../providers/engine-ids.ts";
import type { RunnerDeps } from "./deps.ts";
import { runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";
import { readSecrets, secretValues } from "../policy/secrets.ts";

export const ENGINE_TIMEOUTS: EngineTimeouts = { lockMs: 5 * 60_000, openMs: 2 * 60_000 };

export interface Prepared {
  readonly access: Access;
  readonly contract: AssignedContract;
  readonly policy: Policy;
  readonly provider: Provider;
}

interface PrepareInput {
  readonly assignment: Assignment;
  readonly binding: AssignedBinding;
  readonly run: Id;
  readonly log: RunLog;
  readonly signal: AbortSignal;
  readonly onChild: (child: ProcessRef) => Promise<void>;
  /** Who the engine runs as. Restores run as the agent itself, so that they may restore owners. */
  readonly as: "contract" | "agent";
  /** Whether the repository's passphrase may be generated now. */
  readonly mayGenerate: boolean;
  /** Throws PolicyError when the host's policy forbids the run. Called before anything else is checked. */
  readonly check: (policy: Policy, contract: AssignedContract, repository: Access["repository"]) => void;
}

/** Collects what a run needs: contract, repository, policy, user, secrets. Checks the policy first. Throws RunError. */
export async function prepareAccess(deps: RunnerDeps, input: PrepareInput): Promise<Prepared> {
  const { assignment, binding, log } = input;
  const assigned = assignment.contracts.find(({ id }) => id === binding.contract);
  const repository = assignment.repositories.find(({ id }) => id === binding.repository);
  if (assigned === undefined || repository === undefined) {
    throw runError(
      "binding.unknown",
      `binding "${binding.name}" has no contract or repository in the host's assignment`,
    );
  }
  const { contract, policy } = await resolveContract(deps.paths, assigned);
  input.check(policy, contract, repository);
  await requireGranted(deps, { policy, contract, repository, binding: binding.name });
  const isRestore = input.as === "agent";
  const user = isRestore ? ownUser() : await findUser(contract.request.user);
  const backupUser = isRestore ? await findUser(contract.request.user).catch(() => null) : null;
  const wasSeen = (await knownEngineIds(deps.paths, repository)).length > 0;
  const secrets = await readSecrets(deps, { repository, wasSeen, mayGenerate: input.mayGenerate });
  log.hide(secretValues(secrets));
  const { limitUploadKiBs, limitDownloadKiBs } = binding.settings;
  const access: Access = {
    repository,
    secrets,
    user,
    backupUser,
    log,
    paths: deps.paths,
    clock: deps.clock,
    signal: input.signal,
    onChild: input.onChild,
    run: input.run,
    scope: { host: assignment.host, binding: binding.id },
    ladder: deps.ladder ?? ENGINE_LADDER,
    timeouts: deps.timeouts ?? ENGINE_TIMEOUTS,
    limits: { uploadKiBs: limitUploadKiBs, downloadKiBs: limitDownloadKiBs },
    performance: binding.settings.performance,
  };
  return { access, contract, policy, provider: providerOf(repository) };
}

/** Parses a time span of the settings. @returns milliseconds */
export function readTimeLimit(settings: Settings, name: "hookTimeLimit" | "runTimeLimit"): number {
  const span = parseTimeSpan(settings[name]);
  if (!span.ok) throw runError("host.failed", `the binding's ${name} can't be read: ${span.message}`);
  return span.value;
}

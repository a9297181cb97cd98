import type { AssignedRepository, Assignment } from "../../shared/assignment.ts";
import { type Id } from "../../shared/ids.ts";
import { checkRepository } from "../policy/check.ts";
import {
  beginRotation,
  endRotation,
  generatedPassphrases,
  type GeneratedPassphrases,
  switchPassphrase,
} from "../policy/generated.ts";
import type { Access, Provider } from "../providers/provider.ts";
import { prepareAccess } from "../run/access.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { failureOf, runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";
import { acquireLock } from "../state/locks.ts";
import { oldestBindingOf } from "./maintainer.ts";

interface RotateInput {
  readonly assignment: Assignment;
  readonly repository: AssignedRepository;
  readonly run: Id;
  readonly log: RunLog;
  readonly signal: AbortSignal;
}

/**
 * Gives a repository a new generated passphrase. Both are kept until the new one has opened the repository, and the old
 * one is made useless last: whenever this is killed, one of those kept opens it, and the next call goes on from there.
 * @throws RunError
 */
export async function rotatePassphrase(deps: RunnerDeps, input: RotateInput): Promise<void> {
  const { assignment, repository, log, signal } = input;
  if (!("generate" in repository.passphrase)) {
    throw runError(
      "secret.unreadable",
      `the passphrase of repository "${repository.name}" was not made on this host`,
      "Change it with the tool itself, then in its file, or seal the new one.",
    );
  }
  if (repository.appendOnly)
    throw runError("repository.append_only", `repository "${repository.name}" is append-only for this host`);
  const { access, provider } = await prepareAccess(deps, {
    ...input,
    binding: oldestBindingOf({ assignment, repository }),
    onChild: async () => undefined,
    as: "contract",
    mayGenerate: false,
    check: (policy, _contract, place) => checkRepository(policy, place),
  });
  const lock = await acquireLock(deps.paths, {
    name: repository.id,
    signal,
    onWait: () => log.line("another run works on the repository: waiting for it"),
  });
  try {
    await rotate(deps, { access, provider });
  } finally {
    await lock.release();
  }
}

async function rotate(deps: RunnerDeps, { access, provider }: { access: Access; provider: Provider }): Promise<void> {
  const { paths } = deps;
  const { repository, log } = access;
  const before = await generatedPassphrases(paths, repository);
  // A rotation that was interrupted after its switch has only its end left.
  const isSwitched = before.old !== null && before.next === null;
  if (!isSwitched) {
    const next = before.next ?? (await beginRotation(deps, repository));
    log.hide([next]);
    if (!(await opens({ access, provider }, next))) {
      const opened = await provider.open(access, { mayCreate: false });
      await opened.addPassphrase(next);
    }
    if (!(await opens({ access, provider }, next))) {
      throw runError(
        "repository.wrong_passphrase",
        `repository "${repository.name}" does not open with its new passphrase`,
      );
    }
    await switchPassphrase(paths, repository);
  }
  const { current, old }: GeneratedPassphrases = await generatedPassphrases(paths, repository);
  const opened = await provider.open(withPassphrase(access, current), { mayCreate: false });
  if (old !== null && old !== current) await opened.dropPassphrase(old);
  await endRotation(paths, repository);
}

/** Whether this very passphrase opens it. @throws RunError for any other trouble */
async function opens(
  { access, provider }: { access: Access; provider: Provider },
  passphrase: string,
): Promise<boolean> {
  try {
    await provider.open(withPassphrase(access, passphrase), { mayCreate: false });
    return true;
  } catch (error) {
    if (failureOf(error).code === "repository.wrong_passphrase") return false;
    throw error;
  }
}

function withPassphrase(access: Access, passphrase: string): Access {
  return { ...access, secrets: { ...access.secrets, passphrase, others: [] } };
}

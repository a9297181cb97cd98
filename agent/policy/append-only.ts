import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Paths } from "../config.ts";
import { type RunError, runError } from "../run-error.ts";
import { rememberAppendOnly, wasAppendOnly } from "../state/append-only.ts";
import { type Ask, askFor } from "./ask.ts";
import { isWithin, PolicyError } from "./check.ts";
import type { Policy } from "./policy.ts";

export interface AppendOnlyInput {
  readonly paths: Pick<Paths, "state">;
  readonly policy: Policy;
  readonly repository: AssignedRepository;
  /** The id that the opened repository has; null when it was not opened. */
  readonly engineId: string | null;
}

type RemovalDecision =
  | { readonly verdict: "allowed" }
  | { readonly verdict: "refused"; readonly error: RunError }
  | { readonly verdict: "waits"; readonly ask: Ask };

/**
 * Whether this host may remove anything from a repository. Not where the assignment or the policy says append-only; and
 * where either once did, only once root says so: who has the signing key can take it out of the assignment.
 */
export async function decideRemoval({
  paths,
  policy,
  repository,
  engineId,
}: AppendOnlyInput): Promise<RemovalDecision> {
  const { name, location } = repository;
  if (repository.appendOnly) {
    const message = `repository "${name}" is append-only for this host: whoever may write it removes old snapshots`;
    return { verdict: "refused", error: runError("repository.append_only", message) };
  }
  if (isListed(policy, location)) {
    const message = `the host's policy says that it only adds to repository "${name}" at ${location}`;
    return { verdict: "refused", error: new PolicyError("policy.append_only", message) };
  }
  if (policy.level === "open" || !(await wasAppendOnly(paths, { location, engineId }))) return { verdict: "allowed" };
  const summary = `Remove snapshots from ${location}, and prune it. It was append-only for this host before.`;
  return { verdict: "waits", ask: askFor("append-only", { location, engineId }, summary) };
}

/** Called with each repository that was opened, or that an assignment names. */
export async function noteAppendOnly({ paths, policy, repository, engineId }: AppendOnlyInput): Promise<void> {
  const { appendOnly, location } = repository;
  if (appendOnly || isListed(policy, location)) await rememberAppendOnly(paths, { location, engineId });
}

function isListed({ appendOnly }: Policy, location: string): boolean {
  return appendOnly.some((entry) => isWithin(location, entry));
}

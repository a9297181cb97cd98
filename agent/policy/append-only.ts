import { createHash } from "node:crypto";
import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { rememberAppendOnly, wasAppendOnly } from "../state/append-only.ts";
import { isWithin, PolicyError } from "./check.ts";
import type { Policy } from "./policy.ts";

interface AppendOnlyInput {
  readonly paths: Pick<Paths, "state">;
  readonly policy: Policy;
  readonly repository: AssignedRepository;
  /** The id the opened repository has; null before it was opened. */
  readonly engineId: string | null;
  /** Whether root said yes to what has this key. */
  readonly isGranted?: (key: string) => boolean;
}

/**
 * Why this host removes nothing from a repository; null when it may. It may not where the assignment says so, where the
 * policy does, and where either once did: who has the signing key could take it out of the assignment.
 */
export async function appendOnlyError(input: AppendOnlyInput): Promise<Error | null> {
  const { paths, policy, repository, engineId } = input;
  const { name, location } = repository;
  if (repository.appendOnly) {
    const message = `repository "${name}" is append-only for this host: whoever may write it removes old snapshots`;
    return runError("repository.append_only", message);
  }
  if (isListed(policy, location)) {
    const message = `the host's policy says that it only adds to repository "${name}" at ${location}`;
    return new PolicyError("policy.append_only", message);
  }
  if (input.isGranted?.(appendOnlyKey({ location, engineId })) === true) return null;
  if (policy.level === "open" || !(await wasAppendOnly(paths, { location, engineId }))) return null;
  const message = `repository "${name}" was append-only for this host before: it stays so until root says otherwise here`;
  return new PolicyError("policy.append_only", message);
}

/**
 * Called with each repository that was opened, or that an assignment names.
 * @param input `engineId`: null when it was not opened
 */
export async function noteAppendOnly({ paths, policy, repository, engineId }: AppendOnlyInput): Promise<void> {
  const { appendOnly, location } = repository;
  if (appendOnly || isListed(policy, location)) await rememberAppendOnly(paths, { location, engineId });
}

/** By content: this repository in this place. */
export function appendOnlyKey({ location, engineId }: { location: string; engineId: string | null }): string {
  const content = JSON.stringify(["append-only", location, engineId]);
  return createHash("sha256").update(content).digest("hex").slice(0, 16);
}

function isListed({ appendOnly }: Policy, location: string): boolean {
  return appendOnly.some((entry) => isWithin(location, entry));
}

import type { AssignedContract } from "../shared/assignment.ts";
import type { Paths } from "./config.ts";
import { isDeclaredHere } from "./contract-files.ts";
import { loadPolicy, type Policy } from "./policy.ts";

/**
 * The host's policy for one contract. What root has written down in contracts.d itself needs no leave: its user, its
 * sources as they are written, its hooks and commands. Where it may be kept and restored stays the policy's to say, and a
 * policy that can't be followed still allows nothing.
 */
export async function policyFor(paths: Paths, contract: AssignedContract): Promise<Policy> {
  const policy = await loadPolicy(paths);
  if (policy.fault !== null || !(await isDeclaredHere(paths, contract))) return policy;
  const { request } = contract;
  const sources = contract.kind === "files" ? contract.request.sourceDirectories : [];
  return {
    ...policy,
    isDeclared: true,
    hooks: "inline",
    users: withAlso(policy.users, [request.user]),
    sources: withAlso(policy.sources, sources),
  };
}

/** A list that is null allows everything already. */
function withAlso(allowed: readonly string[] | null, more: readonly string[]): readonly string[] | null {
  return allowed === null ? null : [...allowed, ...more];
}

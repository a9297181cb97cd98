import { serverUser } from "../../shared/consistency.ts";
import type { AssignedContract } from "../../shared/assignment.ts";
import type { Paths } from "../config.ts";
import { findOwnDeclaration } from "./contract-files.ts";
import { loadPolicy, type Policy } from "../policy/policy.ts";

/**
 * A contract as this host accepts it, with its policy. What root declares in contracts.d is allowed without policy:
 * user, sources, hooks, commands, consistency. Repository and restore stay under the policy, and an invalid policy
 * still allows nothing.
 */
export async function resolveContract(
  paths: Paths,
  assigned: AssignedContract,
): Promise<{ contract: AssignedContract; policy: Policy }> {
  const policy = await loadPolicy(paths);
  const own = policy.fault === null ? await findOwnDeclaration(paths, assigned) : null;
  if (own === null) return { contract: assigned, policy };
  const { id, name, declared } = assigned;
  const contract: AssignedContract = { id, name, declared, ...own };
  const { sources, users } = grantsOf(contract);
  return {
    contract,
    policy: {
      ...policy,
      isDeclared: true,
      hooks: "inline",
      hookNames: null,
      services: null,
      users: extendList(policy.users, users),
      sources: extendList(policy.sources, sources),
    },
  };
}

function grantsOf(contract: AssignedContract): { sources: string[]; users: string[] } {
  const users = [contract.request.user];
  if (contract.kind !== "files")
    return { sources: [], users: contract.restoreUser === null ? users : [...users, contract.restoreUser] };
  const sources = [...contract.request.sourceDirectories];
  for (const entry of contract.consistency) {
    if ("sqlite" in entry) sources.push(entry.sqlite);
    if ("postgres" in entry || "mariadb" in entry) users.push(serverUser(entry));
  }
  return { sources, users };
}

/** A list that is null allows everything already. */
function extendList(allowed: readonly string[] | null, more: readonly string[]): readonly string[] | null {
  return allowed === null ? null : [...allowed, ...more];
}

import type { AssignedBinding, AssignedRepository, Assignment, ForeignBinding } from "../../shared/assignment.ts";
import { runError } from "../run-error.ts";

/**
 * The assignment as the maintainer of an append-only repository removes from it: by the access that only it has. Where
 * there is none, the repository stays append-only.
 */
export function forMaintenance(assignment: Assignment, repository: Pick<AssignedRepository, "id">): Assignment {
  const repositories = assignment.repositories.map((one) => (one.id === repository.id ? withAccess(one) : one));
  return { ...assignment, repositories };
}

function withAccess(repository: AssignedRepository): AssignedRepository {
  const { access } = repository.maintenance;
  if (!repository.appendOnly || !repository.maintains || access === undefined) return repository;
  const { location = repository.location, passphrase = repository.passphrase, secrets, ssh } = access;
  return { ...repository, location, passphrase, secrets, ssh, appendOnly: false };
}

/**
 * Another host's binding, for the retention that this host applies to it: with the repository, the user and the
 * passphrase of this host's own oldest binding there. The order only says whose snapshots, and by which settings.
 * @returns null when this host does not maintain the repository @throws `binding.unknown`
 */
export function foreignRetention(
  assignment: Assignment,
  { host, binding }: ForeignBinding,
): { assignment: Assignment; binding: AssignedBinding } | null {
  const repository = assignment.repositories.find(({ id }) => id === binding.repository);
  if (repository?.maintains !== true) return null;
  const own = oldestBindingOf({ assignment, repository });
  const theirs = { ...binding, contract: own.contract };
  return { assignment: { ...assignment, host, bindings: [theirs] }, binding: theirs };
}

/** The oldest binding of this host to the repository. */
export function oldestBindingOf({
  assignment,
  repository,
}: {
  assignment: Assignment;
  repository: Pick<AssignedRepository, "id" | "name">;
}): AssignedBinding {
  const [first] = assignment.bindings
    .filter((binding) => binding.repository === repository.id)
    .toSorted((one, other) => (one.id < other.id ? -1 : 1));
  if (first === undefined)
    throw runError("binding.unknown", `no binding of this host has repository "${repository.name}"`);
  return first;
}

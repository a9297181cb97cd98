import { eq, getTableColumns } from "drizzle-orm";
import type { CreateRestore } from "../../../shared/api.ts";
import type { ForeignBindingInput } from "../../../shared/assignment.ts";
import { Id } from "../../../shared/ids.ts";
import type { SecretSource } from "../../../shared/secret-source.ts";
import type { Run } from "../../../shared/run.ts";
import { requireGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import type { Deps } from "../../deps.ts";
import { assignedBinding, assignedContract, assignedRepository } from "../contracts/assignments.ts";
import { type HostRow, resolveHost } from "../hosts/hosts.ts";
import { orderRun } from "./orders.ts";
import { invalidRequest } from "../errors.ts";
import { isLocal } from "../contracts/repositories.ts";

/** Orders a restore. The host checks that the snapshot exists, because the list here may be outdated. */
export async function createRestore(
  deps: Deps,
  { binding: reference, host: elsewhere, passphrase, ...restore }: CreateRestore,
): Promise<Run> {
  const bound = await findBound(deps, reference);
  const { id: binding, repository } = bound.binding;
  const host = elsewhere === null ? bound.host : await resolveHost(deps, elsewhere, ["host"]);
  const order = { binding, repository, kind: "restore", restore } as const;
  if (host.id !== bound.host.id) {
    return orderRun(deps, { ...order, host: host.id, from: foreignBinding(bound, { host, passphrase }) });
  }
  if (passphrase !== null) {
    throw invalidRequest(["passphrase"], `host "${host.name}" has its repository's passphrase already; leave this out`);
  }
  return orderRun(deps, { ...order, host: host.id, from: null });
}

interface Bound {
  readonly binding: typeof bindings.$inferSelect;
  readonly contract: typeof contracts.$inferSelect;
  readonly repository: typeof repositories.$inferSelect;
  readonly host: HostRow;
}

async function findBound(deps: Deps, reference: string): Promise<Bound> {
  const column = Id.safeParse(reference).success ? bindings.id : bindings.name;
  const [bound, another] = await deps.db
    .select({
      binding: getTableColumns(bindings),
      contract: getTableColumns(contracts),
      repository: getTableColumns(repositories),
      host: getTableColumns(hosts),
    })
    .from(bindings)
    .innerJoin(contracts, eq(contracts.id, bindings.contract))
    .innerJoin(repositories, eq(repositories.id, bindings.repository))
    .innerJoin(hosts, eq(hosts.id, bindings.host))
    .where(eq(column, reference))
    .limit(2);
  if (bound === undefined)
    throw invalidRequest(["binding"], `there is no binding "${reference}"; give the id or name of one that exists`);
  if (another !== undefined)
    throw invalidRequest(["binding"], `several hosts have a binding "${reference}"; give its id`);
  // All of it may go into the order.
  await requireGenuine(deps, "bindings", bound.binding);
  await requireGenuine(deps, "contracts", bound.contract);
  await requireGenuine(deps, "repositories", bound.repository);
  await requireGenuine(deps, "hosts", bound.host);
  return bound;
}

/**
 * Everything another host needs to read this binding's snapshots. Throws `request.invalid` when it can't reach them.
 */
function foreignBinding(
  bound: Bound,
  { host, passphrase }: { host: HostRow; passphrase: CreateRestore["passphrase"] },
): ForeignBindingInput {
  return {
    host: bound.host.id,
    binding: assignedBinding(bound.binding),
    // No file on the other host declares it.
    contract: { ...assignedContract(bound.contract), declared: false },
    repository: {
      ...assignedRepository({ ...bound.repository, firstUser: bound.host.id }, host.id),
      passphrase: passphraseOnHost(bound, { host, passphrase }),
      existing: true,
      maintains: false,
    },
  };
}

function passphraseOnHost(
  { repository, host: owner }: Bound,
  { host, passphrase }: { host: HostRow; passphrase: CreateRestore["passphrase"] },
): SecretSource {
  if (isLocal(repository)) {
    throw invalidRequest(
      ["host"],
      `repository "${repository.name}" is a directory of host "${owner.name}" (${repository.location}): host "${host.name}" can't reach it. Restore on "${owner.name}", or move the repository to where both reach it (ssh, rest:, s3:)`,
    );
  }
  if (passphrase !== null) return passphrase;
  if (!("generate" in repository.passphrase)) return repository.passphrase;
  throw invalidRequest(
    ["passphrase"],
    `the passphrase of repository "${repository.name}" was made on host "${owner.name}" and never left it. Copy /var/lib/holdfast/secrets/${repository.id} from there to a file on host "${host.name}" that only its root can read, and give {"file": its path}`,
  );
}

import { and, eq, ne, sql } from "drizzle-orm";
import type { Settings } from "../../../shared/binding.ts";
import { Failure } from "../../../shared/failure.ts";
import { Id } from "../../../shared/ids.ts";
import { retentionFault } from "../../../shared/retention.ts";
import { guardAsRead, requireGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { guard, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import type { ContractRow } from "./rows.ts";
import { invalidRequest } from "../errors.ts";
import { isLocal, type RepositoryRow } from "./repositories.ts";

/** Finds the contract a binding's body names by id. Throws `request.invalid` when there is none. */
export async function resolveContract(deps: Deps, id: string): Promise<ContractRow> {
  const [row] = Id.safeParse(id).success ? await deps.db.select().from(contracts).where(eq(contracts.id, id)) : [];
  if (row === undefined)
    throw invalidRequest(["contract"], `there is no contract "${id}"; give the id of one that exists`);
  await requireGenuine(deps, "contracts", row);
  return row;
}

/**
 * Throws for a binding that can't work: duplicate, on another host, or in a local directory of another user.
 * @returns the only host that may use the repository from now on; null when any may
 */
export async function checkBindable(deps: Deps, contract: ContractRow, repository: RepositoryRow): Promise<Id | null> {
  const [bound, others] = await deps.db.batch([
    deps.db.select({ name: bindings.name }).from(bindings).where(samePair(contract.id, repository.id)),
    deps.db
      .select({ contract: contracts.name, user: sql<string>`json_extract(${contracts.request}, '$.user')` })
      .from(bindings)
      .innerJoin(contracts, eq(contracts.id, bindings.contract))
      .where(and(eq(bindings.repository, repository.id), otherUser(contract.request.user)))
      .limit(1),
  ]);
  if (bound[0] !== undefined) {
    const message = `contract "${contract.name}" is bound to repository "${repository.name}" already, by binding "${bound[0].name}"; change that one, or choose another repository`;
    throw new Failure("bindings.already_bound", message, [{ path: ["repository"], message }]);
  }
  const reason = singleHostReason(repository);
  if (reason === null) return null;
  if (repository.host !== null && repository.host !== contract.host)
    await throwOtherHost(deps, contract, repository, reason);
  const other = others[0];
  if (isLocal(repository) && other !== undefined) {
    throw invalidRequest(
      ["repository"],
      `repository "${repository.name}" is a local directory that contract "${other.contract}" uses as user "${other.user}"; ` +
        `"${contract.request.user}" could not read its files: give this contract a repository of its own`,
    );
  }
  return contract.host;
}

/** Throws `request.invalid` for a retention that the repository's tool can't carry out. */
export function checkRetention(
  { provider }: Pick<RepositoryRow, "provider">,
  { retention }: Pick<Settings, "retention">,
): void {
  const fault = retentionFault(provider, retention);
  if (fault !== null) throw invalidRequest(["settings", "retention", "keep_tag"], fault);
}

/** Guards for the batch that writes: what `checkBindable` checked still holds. */
export function guardBindable(deps: Deps, contract: ContractRow, repository: RepositoryRow): Statement[] {
  const { db } = deps;
  const statements = [guardAsRead(deps, "contracts", contract), guardAsRead(deps, "repositories", repository)];
  if (!isLocal(repository)) return statements;
  const differing = and(eq(bindings.repository, repository.id), otherUser(contract.request.user));
  const join = sql`${bindings} join ${contracts} on ${contracts.id} = ${bindings.contract}`;
  return [...statements, guard(db, sql`not exists (select 1 from ${join} where ${differing})`)];
}

function samePair(contract: Id, repository: Id) {
  return and(eq(bindings.contract, contract), eq(bindings.repository, repository));
}

function otherUser(user: string) {
  return ne(sql`json_extract(${contracts.request}, '$.user')`, user);
}

function singleHostReason(repository: RepositoryRow): string | null {
  if (isLocal(repository)) return `is a directory on`;
  if (repository.declared || repository.undeclaredAt !== null) return `is declared by a file on`;
  return "generate" in repository.passphrase ? "has its passphrase generated on, and known only to," : null;
}

async function throwOtherHost(
  deps: Deps,
  contract: ContractRow,
  repository: RepositoryRow,
  reason: string,
): Promise<never> {
  const known = await deps.db.select({ id: hosts.id, name: hosts.name }).from(hosts);
  const nameOf = (id: Id | null) => known.find((host) => host.id === id)?.name ?? String(id);
  throw invalidRequest(
    ["repository"],
    `repository "${repository.name}" ${reason} host "${nameOf(repository.host)}", and contract "${contract.name}" is of host ` +
      `"${nameOf(contract.host)}"; create a repository for that host`,
  );
}

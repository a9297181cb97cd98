import { and, eq, exists, inArray, sql, type SQL } from "drizzle-orm";
import type { Id } from "../../shared/ids.ts";
import { bindings } from "../db/schema/contracts.ts";
import { hosts } from "../db/schema/hosts.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

const next = { revision: sql`${hosts.revision} + 1` };

/** Increments the revision of the host. For every batch that changes the host's assignment. */
export function bumpHost(deps: Deps, host: Id): Statement {
  return deps.db.update(hosts).set(next).where(eq(hosts.id, host));
}

/** Increments the revision of the contract's host, if the contract has a binding. */
export function bumpHostOfContract(deps: Deps, host: Id, contract: Id): Statement {
  const bound = deps.db
    .select({ one: sql`1` })
    .from(bindings)
    .where(eq(bindings.contract, contract));
  return deps.db
    .update(hosts)
    .set(next)
    .where(and(eq(hosts.id, host), exists(bound)));
}

/** Increments the revisions of all hosts that use the repository. @param when condition, evaluated in the batch */
export function bumpHostsOfRepository(deps: Deps, repository: Id, when: SQL = sql`1`): Statement {
  return deps.db
    .update(hosts)
    .set(next)
    .where(and(inArray(hosts.id, usersOf(deps, repository)), when));
}

/** Pokes every host that uses the repository. */
export async function pokeHostsOfRepository(deps: Deps, repository: Id): Promise<void> {
  const users = await usersOf(deps, repository);
  await Promise.all(users.map(({ host }) => deps.hub.poke(host, "assignment")));
}

function usersOf(deps: Deps, repository: Id) {
  return deps.db.selectDistinct({ host: bindings.host }).from(bindings).where(eq(bindings.repository, repository));
}

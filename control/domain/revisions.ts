import { and, eq, exists, inArray, sql, type SQL } from "drizzle-orm";
import type { Id } from "../../shared/ids.ts";
import { bindings } from "../db/schema/contracts.ts";
import { hosts } from "../db/schema/hosts.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";

const next = { revision: sql`${hosts.revision} + 1` };

/** The host's assignment changes in this batch. */
export function bumpHost(deps: Deps, host: Id): Statement {
  return deps.db.update(hosts).set(next).where(eq(hosts.id, host));
}

/** The assignment of the contract's host changes in this batch, if the contract is bound at all. */
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

/** The assignments of every host that uses the repository change in this batch, if `when` holds at that point of it. */
export function bumpHostsOfRepository(deps: Deps, repository: Id, when: SQL = sql`1`): Statement {
  return deps.db
    .update(hosts)
    .set(next)
    .where(and(inArray(hosts.id, usersOf(deps, repository)), when));
}

/** Rings every host that uses the repository. */
export async function pokeHostsOfRepository(deps: Deps, repository: Id): Promise<void> {
  const users = await usersOf(deps, repository);
  await Promise.all(users.map(({ host }) => deps.hub.poke(host, "assignment")));
}

function usersOf(deps: Deps, repository: Id) {
  return deps.db.selectDistinct({ host: bindings.host }).from(bindings).where(eq(bindings.repository, repository));
}

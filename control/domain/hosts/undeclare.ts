import { and, eq } from "drizzle-orm";
import { instant, type Id } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, onlyGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

/**
 * Statements for a revoked host: the objects it declared can be changed and deleted from now on. One that was changed
 * since it was read rolls the batch back.
 */
export async function undeclareHost(deps: Deps, host: Id): Promise<Statement[]> {
  const { db } = deps;
  const undeclared = { declared: false, undeclaredAt: instant(deps.clock.now()) };
  const declared = <T extends typeof contracts | typeof repositories | typeof bindings>(table: T) =>
    and(eq(table.host, host), eq(table.declared, true));
  const [contracted, stored, bound] = await db.batch([
    db.select().from(contracts).where(declared(contracts)),
    db.select().from(repositories).where(declared(repositories)),
    db.select().from(bindings).where(declared(bindings)),
  ]);
  const statements: Statement[] = [];
  for (const row of await onlyGenuine(deps, "contracts", contracted)) {
    const change = await changeWithMac(deps, "contracts", row, undeclared);
    statements.push(
      guardAsRead(deps, "contracts", row),
      db.update(contracts).set(change).where(eq(contracts.id, row.id)),
    );
  }
  for (const row of await onlyGenuine(deps, "repositories", stored)) {
    const change = await changeWithMac(deps, "repositories", row, undeclared);
    statements.push(
      guardAsRead(deps, "repositories", row),
      db.update(repositories).set(change).where(eq(repositories.id, row.id)),
    );
  }
  for (const row of await onlyGenuine(deps, "bindings", bound)) {
    const change = await changeWithMac(deps, "bindings", row, undeclared);
    statements.push(guardAsRead(deps, "bindings", row), db.update(bindings).set(change).where(eq(bindings.id, row.id)));
  }
  return statements;
}

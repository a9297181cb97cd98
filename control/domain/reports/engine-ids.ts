import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import { changeWithMac, isAsRead, onlyGenuine } from "../../keys/row-mac.ts";
import { repositories } from "../../db/schema/contracts.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { bumpHostsOfRepository } from "../revisions.ts";

/**
 * Statements that save the engine ids of repositories that had none. One that has one by then, or was changed since it
 * was read, stays as it is: the next report tells its engine id again.
 */
export async function saveEngineIds(deps: Deps, found: ReadonlyMap<Id, string>): Promise<Statement[]> {
  if (found.size === 0) return [];
  const rows = await deps.db
    .select()
    .from(repositories)
    .where(inArray(repositories.id, [...found.keys()]));
  const statements: Statement[] = [];
  for (const row of await onlyGenuine(deps, "repositories", rows)) {
    const engineId = found.get(row.id) ?? null;
    const unknown = and(isAsRead("repositories", row), isNull(repositories.engineId));
    statements.push(
      // First, because it asks whether the id is still unknown.
      bumpHostsOfRepository(deps, row.id, sql`exists (select 1 from ${repositories} where ${unknown})`),
      deps.db
        .update(repositories)
        .set(await changeWithMac(deps, "repositories", row, { engineId }))
        .where(and(eq(repositories.id, row.id), unknown)),
    );
  }
  return statements;
}

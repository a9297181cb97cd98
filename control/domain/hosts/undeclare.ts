import { and, eq } from "drizzle-orm";
import { instant, type Id } from "../../../shared/ids.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

/** Statements for a revoked host: the objects it declared can be changed and deleted from now on. */
export function undeclareHost(deps: Deps, host: Id): Statement[] {
  const undeclared = { declared: false, undeclaredAt: instant(deps.clock.now()) };
  return [contracts, repositories, bindings].map((table) =>
    deps.db
      .update(table)
      .set(undeclared)
      .where(and(eq(table.host, host), eq(table.declared, true))),
  );
}

import { sql } from "drizzle-orm";
import { check, integer, sqliteTable } from "drizzle-orm/sqlite-core";

/** Always empty. Inserting a row violates the check and rolls the batch back: see `guard` in transaction.ts. */
export const guards = sqliteTable("guards", { holds: integer().notNull() }, (table) => [
  check("guard_holds", sql`${table.holds} = 1`),
]);

import { sql } from "drizzle-orm";
import { check, integer, sqliteTable } from "drizzle-orm/sqlite-core";

/** Always empty. A row that breaks its check rolls the whole batch back: see `guard` in transaction.ts. */
export const guards = sqliteTable("guards", { holds: integer().notNull() }, (table) => [
  check("guard_holds", sql`${table.holds} = 1`),
]);

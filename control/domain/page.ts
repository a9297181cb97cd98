import { type Column, eq, type GetColumnData, lt, type SQL, sql } from "drizzle-orm";
import type { Page } from "../../shared/api.ts";
import type { Id } from "../../shared/ids.ts";

/** The input of every list. */
export interface ListInput {
  limit: number;
  cursor?: Id | undefined;
}

/** Makes a page from rows, newest first. Read `limit` + 1 rows: the extra one shows that there is a next page. */
export function pageOf<Row extends { id: Id }, Item>(
  rows: Row[],
  limit: number,
  toItem: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  return { items: shown.map(toItem), next: rows.length > limit ? (shown.at(-1)?.id ?? null) : null };
}

/** SQL: newest first, what comes after the page that ended with the cursor. */
export function isPastCursor(id: Column, { cursor }: ListInput): SQL | undefined {
  return cursor === undefined ? undefined : lt(id, cursor);
}

/** SQL: a filter of a list; none when its value was not given. */
export function matches<C extends Column>(column: C, value: GetColumnData<C, "raw"> | undefined): SQL | undefined {
  return value === undefined ? undefined : eq(column, value);
}

/** SQL: whether a column with an array of labels contains this label. */
export function hasLabel(labels: Column, label: string): SQL {
  return sql`exists (select 1 from json_each(${labels}) where value = ${label})`;
}

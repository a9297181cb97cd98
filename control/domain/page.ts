import { type Column, type SQL, sql } from "drizzle-orm";
import type { Page } from "../../shared/api.ts";
import type { Id } from "../../shared/ids.ts";

/** What every list takes. */
export interface ListInput {
  limit: number;
  cursor?: Id | undefined;
}

/**
 * Cuts a page out of rows that were read newest first, one more than `limit`: that one only says that there is a next page.
 */
export function pageOf<Row extends { id: Id }, Item>(
  rows: Row[],
  limit: number,
  toItem: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  return { items: shown.map(toItem), next: rows.length > limit ? (shown.at(-1)?.id ?? null) : null };
}

/** Whether a column that keeps an array of labels has this one. */
export function hasLabel(labels: Column, label: string): SQL {
  return sql`exists (select 1 from json_each(${labels}) where value = ${label})`;
}

import type { FailedPath } from "../restore/tool.ts";

const MOST_WARNINGS = 100;
const MAX_WARNING_CHARACTERS = 1000;

export interface ItemWarnings {
  add(item: string, reason: string): void;
  count(): number;
  /** One line for each item, however often the engine told of it, and at most 100. */
  warnings(): string[];
  all(): FailedPath[];
}

/** Collects what went wrong with single files. */
export function itemWarnings(): ItemWarnings {
  const byItem = new Map<string, string>();
  return {
    add(item, reason) {
      if (!byItem.has(item)) byItem.set(item, reason);
    },
    all: () => [...byItem].map(([path, reason]) => ({ path, reason })),
    count: () => byItem.size,
    warnings() {
      const all = [...byItem].map(([item, reason]) =>
        (reason.includes(item) ? reason : `${item}: ${reason}`).slice(0, MAX_WARNING_CHARACTERS),
      );
      if (all.length <= MOST_WARNINGS) return all;
      const shown = all.slice(0, MOST_WARNINGS - 1);
      return [...shown, `and ${all.length - shown.length} more`];
    },
  };
}

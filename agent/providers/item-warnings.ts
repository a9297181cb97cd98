import type { FailedPath } from "./contents.ts";

const MOST_WARNINGS = 100;
const MAX_WARNING_CHARACTERS = 1000;
/** At most this many are kept by name: a failing disk reports every one of its files. */
const MOST_ITEMS = 20_000;
const LONGEST_PATH = 4096;

export interface ItemWarnings {
  add(item: string, reason: string): void;
  /** One line for each item, however often the engine reported it, and at most 100. */
  warnings(): string[];
  all(): FailedPath[];
}

/** Collects what went wrong with single files. */
export function itemWarnings(): ItemWarnings {
  const byItem = new Map<string, string>();
  let unnamed = 0;
  return {
    add(item, reason) {
      const path = item.slice(0, LONGEST_PATH);
      if (byItem.has(path)) return;
      if (byItem.size >= MOST_ITEMS) unnamed++;
      else byItem.set(path, reason.slice(0, MAX_WARNING_CHARACTERS));
    },
    all: () => [...byItem].map(([path, reason]) => ({ path, reason })),
    warnings() {
      const all = [...byItem].map(([item, reason]) =>
        (reason.includes(item) ? reason : `${item}: ${reason}`).slice(0, MAX_WARNING_CHARACTERS),
      );
      if (all.length <= MOST_WARNINGS) return all;
      const shown = all.slice(0, MOST_WARNINGS - 1);
      return [...shown, `and ${all.length + unnamed - shown.length} more`];
    },
  };
}

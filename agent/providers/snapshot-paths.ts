import { lstatSync } from "node:fs";

/** The one of `include` that the path is at or below. */
export function matching(path: string, include: readonly string[]): string | undefined {
  return include.find((wanted) => path === wanted || path.startsWith(wanted.endsWith("/") ? wanted : `${wanted}/`));
}

/** Whether there is anything at a path, be it a link to nowhere. */
export function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

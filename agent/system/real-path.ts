import { realpathSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { isMissing } from "../../shared/node/files.ts";

/** The path with symbolic links resolved, for policy and in-place restores; null when there is nothing there. */
export async function realPathIfExists(source: string): Promise<string | null> {
  try {
    return await realpath(source);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Where a path leads by the symbolic links that are there, also when its end is not there yet. */
export function realPathSoFar(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    try {
      return join(realpathSync(at), relative(at, path));
    } catch (error) {
      if (!isMissing(error) || at === "/") throw error;
    }
  }
}

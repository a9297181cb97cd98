import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/** Where children look for programs: the usual directories, and those of NixOS. Never the agent's own PATH. */
export const CHILD_PATH =
  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/wrappers/bin:/run/current-system/sw/bin";

/** @returns the path of an executable; null when there is none in `path` */
export async function findExecutable(name: string, path: string): Promise<string | null> {
  const candidates = isAbsolute(name) ? [name] : path.split(delimiter).map((directory) => join(directory, name));
  for (const candidate of candidates.filter(isAbsolute)) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not this one.
    }
  }
  return null;
}

import { lstat, realpath } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { isMissing } from "../../shared/node/files.ts";
import { openDirectory, removeTree, withDirectory } from "./descriptors.ts";

/**
 * Removes a file or a directory with all that is in it; nothing if it is not there. What is in it may belong to others,
 * who could put a link in the place of a directory meanwhile: none is followed.
 * @param path in a directory that only root, or the agent's user, can change
 */
export async function removeAll(path: string): Promise<void> {
  for (let attempts = MOST_ATTEMPTS; ; attempts--) {
    try {
      const above = openDirectory(await realpath(dirname(path)));
      return withDirectory(above, (directory) => removeTree(directory, basename(path)));
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Somebody else may have removed something in it.
      if (attempts === 0 || !(await exists(path))) return;
    }
  }
}

const MOST_ATTEMPTS = 10;

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

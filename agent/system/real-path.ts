import { realpath } from "node:fs/promises";
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

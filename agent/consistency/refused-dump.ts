import { runError, type RunError } from "../run-error.ts";

/** What to do with a dump that the agent doesn't load. */
export const BY_HAND =
  "If the dump is as you want it, restore it into a directory (--target), look at it, and load it yourself.";

/** A dump that is not loaded, and why: it is data, and asks for what data can't. */
export function refusedDump(why: string): RunError {
  return runError("database.failed", `the dump is not loaded: ${why}`, BY_HAND);
}

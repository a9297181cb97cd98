import type { Paths } from "./config.ts";

/** What the host's owner allows. A list that is null allows everything. */
export interface Policy {
  readonly hooks: "off" | "named" | "inline";
  readonly sources: readonly string[] | null;
  readonly repositories: readonly string[] | null;
  readonly users: readonly string[] | null;
  readonly restore: "off" | "staging" | "in-place";
  /** Why the file can't be followed; then nothing at all is allowed. Null when it is fine, or there is none. */
  readonly fault: string | null;
}
export function loadPolicy(_paths: Paths): Promise<Policy> {
  throw new Error("being written");
}
/** Names of the executables in hooks.d that may be run. */
export function listHooks(_paths: Paths): Promise<string[]> {
  throw new Error("being written");
}

import { type FoundEngine, oldestAndNewest } from "./engines.ts";

export type FoundRestic = FoundEngine;

export function everyRestic(): [FoundRestic, FoundRestic] {
  return oldestAndNewest("restic");
}

/** For what does not hang on the version. */
export function newestRestic(): FoundRestic {
  return everyRestic()[1];
}

import type { Paths } from "../config.ts";

export interface CliDeps {
  paths: Paths;
  clock: { now(): number };
  /** Milliseconds since the machine was started, its sleep included. */
  uptime?: () => number;
  random: (bytes: number) => Uint8Array;
  out: (text: string) => void;
  log: (line: string) => void;
}

/** What was typed can't be done as it stands: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Exit statuses of every verb. */
export const EXIT = { done: 0, failed: 1, usage: 2, warned: 3, tryLater: 75 } as const;

import type { Paths } from "../config.ts";

export interface CliDeps {
  paths: Paths;
  clock: { now(): number };
  /** Milliseconds since the machine was started, its sleep included. */
  uptime?: () => number;
  random: (bytes: number) => Uint8Array;
  out: (text: string) => void;
  log: (line: string) => void;
  env: Readonly<Record<string, string | undefined>>;
  /** From its first call on, a wish to stop this process aborts it. */
  stopSignal: () => AbortSignal;
}

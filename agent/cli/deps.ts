import type { Paths } from "../config.ts";

export interface CliDeps {
  paths: Paths;
  clock: { now(): number };
  /** Milliseconds since boot, suspended time included. */
  uptime?: () => number;
  random: (bytes: number) => Uint8Array;
  out: (text: string) => void;
  log: (line: string) => void;
  /** All of standard input, which is not waited for at a terminal. */
  stdin: () => Promise<string>;
  env: Readonly<Record<string, string | undefined>>;
  /** Aborts when this process is asked to stop. From the first call on, signals no longer end the process. */
  stopSignal: () => AbortSignal;
}

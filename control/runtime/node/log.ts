import type { Log } from "../../deps.ts";

/** A log with one line per event: time, message, and facts as JSON. */
export function lineLog(write: (line: string) => void): Log {
  const line = (message: string, facts: Record<string, unknown> | undefined): void => {
    const suffix = facts === undefined || Object.keys(facts).length === 0 ? "" : ` ${JSON.stringify(facts)}`;
    write(`${new Date().toISOString()} ${message}${suffix}\n`);
  };
  return { info: line, error: (message, facts) => line(`error: ${message}`, facts) };
}

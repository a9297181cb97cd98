import type { ParamValues } from "../../shared/catalog.ts";
import { UsageError } from "../../shared/node/arguments.ts";

/** Reads `--param NAME=VALUE`, which can be given again. */
export function parseParams(pairs: readonly string[]): ParamValues {
  const values: ParamValues = {};
  for (const pair of pairs) {
    const [, name, value] = /^([A-Za-z]+)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined || value === undefined) throw new UsageError(`--param ${pair}: write NAME=VALUE`);
    values[name] = value;
  }
  return values;
}

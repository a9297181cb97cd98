import type { ParamValues } from "../../shared/catalog.ts";
import { UsageError } from "./terminal.ts";

/** Reads `--param NAME=VALUE`, which can be given again. */
export function readParamWords(words: readonly string[]): ParamValues {
  const values: ParamValues = {};
  for (const word of words) {
    const [, name, value] = /^([A-Za-z]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || value === undefined) throw new UsageError(`--param ${word}: write NAME=VALUE`);
    values[name] = value;
  }
  return values;
}

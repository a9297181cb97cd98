import type { ParamValues } from "../../shared/catalog.ts";
import { Id } from "../../shared/ids.ts";
import { UsageError } from "../../shared/node/arguments.ts";

/** Parses the values of the repeatable option `--param NAME=VALUE`. */
export function parseParams(pairs: readonly string[]): ParamValues {
  const values: ParamValues = {};
  for (const pair of pairs) {
    const [, name, value] = /^([A-Za-z]+)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined || value === undefined) throw new UsageError(`--param ${pair}: write NAME=VALUE`);
    values[name] = value;
  }
  return values;
}

/** @param name of the argument in the usage. @param verb the one that lists such ids */
export function readId(word: string, name: string, verb: string): Id {
  const id = Id.safeParse(word);
  if (!id.success) throw new UsageError(`${name} ${word}: write the id that 'holdfast ${verb}' shows`);
  return id.data;
}

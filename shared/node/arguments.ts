import { parseArgs } from "node:util";
import { messageOf } from "../../shared/error-message.ts";
import { UsageError } from "./deps.ts";

/** What a verb takes after its name. */
interface ArgumentSpec {
  /** Options without a value. */
  flags?: readonly string[];
  /** Options with a value, given once. */
  texts?: readonly string[];
  /** Options with a value that may be given again. */
  lists?: readonly string[];
  /** Words without dashes that must be there, as the usage calls them. */
  names?: readonly string[];
  /** The list that words beyond `names` belong to, once its option was given: `--include A B`. */
  restInto?: string;
}

export interface Arguments {
  flag(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): string[];
  /** The word without dashes at that place of `names`. */
  name(index: number): string;
}

/** @throws UsageError with what is wrong */
export function parseArguments(args: readonly string[], shape: ArgumentSpec): Arguments {
  const { values, positionals } = parse(args, shape);
  const names = shape.names ?? [];
  const missing = names[positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const rest = positionals.slice(names.length);
  const first = rest[0];
  if (first !== undefined && (shape.restInto === undefined || values[shape.restInto] === undefined)) {
    throw new UsageError(`'${first}' is one word too many`);
  }
  return {
    flag: (name) => values[name] === true,
    text: (name) => textOf(values[name]),
    list: (name) => [...listOf(values[name]), ...(name === shape.restInto ? rest : [])],
    name: (index) => positionals[index] ?? "",
  };
}

function parse(
  args: readonly string[],
  shape: ArgumentSpec,
): { values: Record<string, unknown>; positionals: string[] } {
  const options = Object.fromEntries([
    ...(shape.flags ?? []).map((name) => [name, { type: "boolean" as const }]),
    ...(shape.texts ?? []).map((name) => [name, { type: "string" as const }]),
    ...(shape.lists ?? []).map((name) => [name, { type: "string" as const, multiple: true }]),
  ]);
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

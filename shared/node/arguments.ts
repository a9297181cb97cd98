import { parseArgs } from "node:util";
import { messageOf } from "../error-message.ts";

/** Exit statuses of every verb. */
export const EXIT = { done: 0, failed: 1, usage: 2, warned: 3, cancelled: 4, tryLater: 75 } as const;

/** The arguments are wrong: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The arguments of a verb. */
export interface ArgumentSpec {
  /** Options without a value. */
  flags?: readonly string[];
  /** Options with a value, given once. */
  texts?: readonly string[];
  /** Options with a value that may be repeated. */
  lists?: readonly string[];
  /** Required positional arguments, as named in the usage. */
  names?: readonly string[];
  /** Whether positional arguments beyond `names` are allowed, as `more`. */
  more?: boolean;
  /** The list option that gets positional arguments beyond `names`, once it was given: `--include A B`. */
  restInto?: string;
  /** For a verb that passes everything after `--` to another program: its usage. */
  passThrough?: string;
}

export interface Arguments {
  flag(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): string[];
  /** The positional argument at that index of `names`. */
  name(index: number): string;
  /** Positional arguments beyond `names`, if the verb accepts them. */
  readonly more: readonly string[];
  /** Everything after `--`, if the verb accepts that. */
  readonly passedThrough: readonly string[];
}

/** @throws UsageError */
export function parseArguments(args: readonly string[], shape: ArgumentSpec): Arguments {
  const { own, passedThrough } = splitAtDashes(args, shape);
  const { values, positionals } = parse(own, shape);
  const names = shape.names ?? [];
  const missing = names[positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const rest = positionals.slice(names.length);
  const first = rest[0];
  if (
    first !== undefined &&
    shape.more !== true &&
    (shape.restInto === undefined || values[shape.restInto] === undefined)
  ) {
    throw new UsageError(`unexpected argument '${first}'`);
  }
  return {
    flag: (name) => values[name] === true,
    text: (name) => textOf(values[name]),
    list: (name) => [...listOf(values[name]), ...(name === shape.restInto ? rest : [])],
    name: (index) => positionals[index] ?? "",
    more: shape.more === true ? rest : [],
    passedThrough,
  };
}

function splitAtDashes(
  args: readonly string[],
  { passThrough }: ArgumentSpec,
): { own: readonly string[]; passedThrough: readonly string[] } {
  if (passThrough === undefined) return { own: args, passedThrough: [] };
  const dashes = args.indexOf("--");
  if (dashes < 0) throw new UsageError(`${passThrough}: the '--' is missing`);
  return { own: args.slice(0, dashes), passedThrough: args.slice(dashes + 1) };
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

import { parseArgs, type ParseArgsConfig } from "node:util";
import { messageOf } from "../../shared/error-message.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { openClient } from "./client.ts";
import { ExitError, expectPositionals, type Terminal } from "./terminal.ts";

/** One verb of the program. */
export interface Verb {
  readonly name: string;
  /** As in the help, without the program's name. */
  readonly usage: string;
  readonly summary: string;
  /** @param args the arguments after the verb. @returns the exit status */
  run(args: string[], terminal: Terminal): Promise<number>;
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;

/** The parsed arguments of a verb, and its environment. */
interface Given<O extends Options, Names extends readonly string[]> {
  readonly values: Parsed<O>["values"];
  readonly positionals: { readonly [Index in keyof Names]: string };
  /** Further positional arguments. */
  readonly rest: readonly string[];
  readonly terminal: Terminal;
  /** Opens the API of the control plane that the environment names. */
  openClient(): Promise<Client>;
}

interface Output {
  /** Printed on one line instead of the text with `--json`. */
  readonly json?: unknown;
  readonly text?: string;
  /** Exit status; 0 by default. */
  readonly status?: number;
}

interface Definition<O extends Options, Names extends readonly string[]> {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly options: O;
  /** Names of the required positional arguments, as in the usage. */
  readonly positionals: Names;
  /** Whether more positional arguments may follow. */
  readonly takesRest?: boolean;
  run(given: Given<O, Names>): Promise<Output>;
}

/** Makes a verb that parses its arguments, runs, and prints the result. */
export function defineVerb<const O extends Options, const Names extends readonly string[]>(
  definition: Definition<O, Names>,
): Verb {
  const { name, usage, summary, options, positionals: names, takesRest = false } = definition;
  return {
    name,
    usage,
    summary,
    run: async (args, terminal) => {
      const { values, positionals: all } = parse(args, options);
      const positionals = expectPositionals(takesRest ? all.slice(0, names.length) : all, names);
      const rest = all.slice(names.length);
      const given = { values, positionals, rest, terminal, openClient: () => openClient(terminal) };
      const { json, text = "", status = EXIT.done } = await definition.run(given);
      const isJson = json !== undefined && "json" in values && values.json === true;
      const printed = isJson ? `${JSON.stringify(json)}\n` : text;
      if (printed !== "") terminal.out(printed);
      return status;
    },
  };
}

function parse<O extends Options>(args: string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** Runs the verb that the arguments name. Prints errors on one line. @returns the exit status */
export async function runProgram(
  verbs: readonly Verb[],
  [name = "", ...args]: string[],
  terminal: Terminal,
): Promise<number> {
  const { out, err } = terminal;
  const verb = verbs.find((one) => one.name === name);
  if (verb === undefined) {
    const isAsked = name === "help" || name === "--help" || name === "-h";
    (isAsked ? out : err)(`${isAsked || name === "" ? "" : `holdfast: unknown command '${name}'\n`}${helpOf(verbs)}`);
    return isAsked ? EXIT.done : EXIT.usage;
  }
  if (args.includes("--help")) {
    out(`usage: holdfast ${verb.usage}\n${verb.summary}\n`);
    return EXIT.done;
  }
  try {
    return await verb.run(args, terminal);
  } catch (error) {
    err(`holdfast: ${messageOf(error)}\n`);
    if (error instanceof UsageError) err(`usage: holdfast ${verb.usage}\n`);
    return error instanceof UsageError ? EXIT.usage : error instanceof ExitError ? error.status : EXIT.failed;
  }
}

function helpOf(verbs: readonly Verb[]): string {
  const entries = verbs.map(({ usage, summary }) => `  holdfast ${usage}\n      ${summary}\n`);
  return `usage:\n${entries.join("")}`;
}

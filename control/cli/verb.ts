import { parseArgs, type ParseArgsConfig } from "node:util";
import { messageOf } from "../../shared/error-message.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { openClient } from "./client.ts";
import { ExitError, expectPositionals, type Terminal } from "./terminal.ts";

/** One verb of the program. */
export interface Verb {
  readonly name: string;
  /** As the help has it, less the program's name. */
  readonly usage: string;
  readonly summary: string;
  /** @param args those after the verb. @returns the exit status */
  run(args: string[], terminal: Terminal): Promise<number>;
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;

/** What was typed, and what a verb does its work with. */
interface Given<O extends Options, Names extends readonly string[]> {
  readonly values: Parsed<O>["values"];
  readonly words: { readonly [Index in keyof Names]: string };
  /** The words beyond those that have a name. */
  readonly rest: readonly string[];
  readonly terminal: Terminal;
  /** The API of the control plane that this terminal means. */
  openClient(): Promise<Client>;
}

interface Output {
  /** What `--json` prints instead of the text: on one line. */
  readonly json?: unknown;
  readonly text?: string;
  /** The exit status; left out: 0. */
  readonly status?: number;
}

interface Definition<O extends Options, Names extends readonly string[]> {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly options: O;
  /** Words without dashes that must be there, as the usage calls them. */
  readonly words: Names;
  /** Whether more words may follow. */
  readonly takesRest?: boolean;
  run(given: Given<O, Names>): Promise<Output>;
}

/** The frame of every verb: reads the arguments, and prints what comes of them. */
export function defineVerb<const O extends Options, const Names extends readonly string[]>(
  definition: Definition<O, Names>,
): Verb {
  const { name, usage, summary, options, words: names, takesRest = false } = definition;
  return {
    name,
    usage,
    summary,
    run: async (args, terminal) => {
      const { values, positionals } = parse(args, options);
      const words = expectPositionals(takesRest ? positionals.slice(0, names.length) : positionals, names);
      const rest = positionals.slice(names.length);
      const given = { values, words, rest, terminal, openClient: () => openClient(terminal) };
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

/** Does what was typed. What goes wrong is said in one line. @returns the exit status */
export async function runProgram(
  verbs: readonly Verb[],
  [name = "", ...args]: string[],
  terminal: Terminal,
): Promise<number> {
  const { out, err } = terminal;
  const verb = verbs.find((one) => one.name === name);
  if (verb === undefined) {
    const isAsked = name === "help" || name === "--help" || name === "-h";
    (isAsked ? out : err)(`${isAsked || name === "" ? "" : `holdfast: '${name}' is not a verb\n`}${helpOf(verbs)}`);
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

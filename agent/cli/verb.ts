import { type ArgumentSpec, type Arguments, EXIT, parseArguments, UsageError } from "../../shared/node/arguments.ts";
import { messageOf } from "../../shared/error-message.ts";
import { ApiError } from "../link/api.ts";
import { RunError } from "../run-error.ts";
import { VERSION } from "../version.ts";
import type { CliDeps } from "./deps.ts";
import { printRunError } from "./print-outcome.ts";

/** One verb of the program. */
export interface Verb {
  readonly name: string;
  /** Its entry in the help. Without one, the verb is internal. */
  readonly help?: { readonly usage: string; readonly summary: string };
  readonly takes: ArgumentSpec;
  /** @returns the exit status */
  run(deps: CliDeps, given: Arguments): Promise<number>;
}

/** The column of the summaries in the help. */
const SUMMARY_COLUMN = 35;

/** Runs the verb in `args`. An error is printed in one line. @returns the exit status */
export async function runVerb(deps: CliDeps, verbs: readonly Verb[], args: readonly string[]): Promise<number> {
  try {
    return await dispatch(deps, verbs, args);
  } catch (error) {
    return printError(deps, error);
  }
}

async function dispatch(deps: CliDeps, verbs: readonly Verb[], [name, ...args]: readonly string[]): Promise<number> {
  if (name === "--version") {
    deps.out(`holdfast-agent ${VERSION}\n`);
    return EXIT.done;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    deps.out(helpOf(verbs));
    return EXIT.done;
  }
  const verb = verbs.find((one) => one.name === name);
  if (verb === undefined) throw new UsageError(name === undefined ? "say what to do" : `there is no verb '${name}'`);
  return await verb.run(deps, parseArguments(args, verb.takes));
}

function helpOf(verbs: readonly Verb[]): string {
  const entries = verbs.flatMap(({ help }) => (help === undefined ? [] : [helpEntry(help)]));
  return `holdfast-agent ${VERSION}: does this host's backups

${entries.join("")}
BINDING and REPOSITORY are names or ids. Exit status: 0 done, 1 failed, 2 usage, 3 done with warnings,
4 cancelled, 75 try later.
Everything lives under HOLDFAST_AGENT_ROOT (default: the machine itself).
`;
}

/** The summary of a long usage goes on the next line. */
function helpEntry({ usage, summary }: NonNullable<Verb["help"]>): string {
  const first = `  ${usage}`;
  if (first.length < SUMMARY_COLUMN) return `${first.padEnd(SUMMARY_COLUMN)}${summary}\n`;
  return `${first}\n${" ".repeat(SUMMARY_COLUMN)}${summary}\n`;
}

function printError(deps: CliDeps, error: unknown): number {
  if (error instanceof UsageError) {
    deps.log(`holdfast-agent: ${error.message} (see 'holdfast-agent --help')`);
    return EXIT.usage;
  }
  if (error instanceof RunError) return printRunError(deps, error);
  deps.log(`holdfast-agent: ${messageOf(error)}`);
  return error instanceof ApiError && error.kind === "offline" ? EXIT.tryLater : EXIT.failed;
}

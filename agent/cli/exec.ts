import { execEngine } from "../runs.ts";
import type { CliDeps } from "./deps.ts";
import { loadBindingContext } from "./host.ts";
import { printRunError } from "./print-outcome.ts";

/** Runs the engine on a binding's repository with a person's own arguments. @returns the engine's exit status */
export async function execCommand(deps: CliDeps, input: { binding: string; args: string[] }): Promise<number> {
  const host = await loadBindingContext(deps, input.binding);
  try {
    return await execEngine(host.runner, { ...host.target, args: input.args });
  } catch (error) {
    return printRunError(deps, error);
  }
}

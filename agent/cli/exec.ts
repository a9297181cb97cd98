import { execEngine } from "../runs.ts";
import type { CliDeps } from "./command.ts";
import { openBinding } from "./host.ts";
import { sayRunError } from "./outcome.ts";

/** Runs the engine on a binding's repository with a person's own arguments. @returns the engine's exit status */
export async function execByHand(deps: CliDeps, input: { binding: string; args: string[] }): Promise<number> {
  const host = await openBinding(deps, input.binding);
  try {
    return await execEngine(host.runner, { ...host.chosen, args: input.args });
  } catch (error) {
    return sayRunError(deps, error);
  }
}

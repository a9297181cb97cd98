import { execEngine } from "../runs.ts";
import { loadBindingContext } from "./host.ts";
import type { Verb } from "./verb.ts";

const USAGE = "exec BINDING -- ARGS…";

/** Runs the engine on a binding's repository with the given arguments. Its exit status is the engine's. */
export const exec: Verb = {
  name: "exec",
  help: { usage: USAGE, summary: "the backup tool itself, on the binding's repository" },
  takes: { names: ["BINDING"], passThrough: USAGE },
  async run(deps, given) {
    const host = await loadBindingContext(deps, given.name(0));
    return await execEngine(host.runner, { ...host.target, args: [...given.passedThrough] });
  },
};

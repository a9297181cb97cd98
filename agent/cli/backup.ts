import { uuidv7 } from "../../shared/ids.ts";
import { backup } from "../runs.ts";
import type { CliDeps } from "./deps.ts";
import { loadBindingContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";

/** Backs one binding up now, in this process, whether or not the control plane is there. @returns the exit status */
export async function backupCommand(
  deps: CliDeps,
  input: { binding: string; acceptSources: boolean; json: boolean; signal: AbortSignal },
): Promise<number> {
  const host = await loadBindingContext(deps, input.binding);
  const runId = uuidv7(deps.clock.now(), deps.random(10));
  const outcome = await backup(host.runner, {
    ...host.target,
    runId,
    acceptSources: input.acceptSources,
    trigger: "manual",
    scheduledAt: null,
    signal: input.signal,
  });
  return await printOutcome(deps, host, { what: `backup of ${host.target.binding.name}`, outcome, json: input.json });
}

import { uuidv7 } from "../../shared/ids.ts";
import { backup } from "../runs.ts";
import type { CliDeps } from "./command.ts";
import { openBinding } from "./host.ts";
import { sayOutcome } from "./outcome.ts";

/** Backs one binding up now, in this process, whether or not the control plane is there. @returns the exit status */
export async function backupByHand(
  deps: CliDeps,
  input: { binding: string; acceptSources: boolean; json: boolean; signal: AbortSignal },
): Promise<number> {
  const host = await openBinding(deps, input.binding);
  const runId = uuidv7(deps.clock.now(), deps.random(10));
  const outcome = await backup(host.runner, {
    ...host.chosen,
    runId,
    acceptSources: input.acceptSources,
    trigger: "manual",
    scheduledAt: null,
    signal: input.signal,
  });
  return await sayOutcome(deps, host, { what: `backup of ${host.chosen.binding.name}`, outcome, json: input.json });
}

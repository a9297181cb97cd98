import type { RestoreRequest } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import { restore } from "../runs.ts";
import type { CliDeps } from "./deps.ts";
import { loadBindingContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";

/** Restores from one snapshot of a binding. @returns the exit status */
export async function restoreCommand(
  deps: CliDeps,
  input: { binding: string; restore: RestoreRequest; json: boolean; signal: AbortSignal },
): Promise<number> {
  const host = await loadBindingContext(deps, input.binding);
  if (!input.json) deps.out(`Will restore snapshot '${input.restore.snapshot}'\n`);
  const runId = uuidv7(deps.clock.now(), deps.random(10));
  const outcome = await restore(host.runner, {
    ...host.target,
    runId,
    trigger: "manual",
    scheduledAt: null,
    signal: input.signal,
    restore: input.restore,
  });
  if (!input.json) deps.out(lines(restoreResultLines(outcome)));
  return await printOutcome(deps, host, { what: `restore of ${host.target.binding.name}`, outcome, json: input.json });
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

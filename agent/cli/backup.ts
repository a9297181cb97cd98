import { uuidv7 } from "../../shared/ids.ts";
import * as runs from "../runs.ts";
import { loadBindingContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";
import type { Verb } from "./verb.ts";
import type { RunUnit } from "../run/deps.ts";
import { writesToJournal } from "../system/journal.ts";
import type { CliDeps } from "./deps.ts";

/** Runs a backup of one binding now, in this process, even if the control plane is away. */
export const backup: Verb = {
  name: "backup",
  help: {
    usage: "backup BINDING [--accept-sources] [--json]",
    summary: "back up now; take the sources as they are for the usual from now on",
  },
  takes: { flags: ["json", "accept-sources"], names: ["BINDING"] },
  async run(deps, given) {
    const signal = deps.stopSignal();
    const host = await loadBindingContext(deps, given.name(0));
    const outcome = await runs.backup(host.runner, {
      ...host.target,
      runId: uuidv7(deps.clock.now(), deps.random(10)),
      acceptSources: given.flag("accept-sources"),
      trigger: "manual",
      scheduledAt: null,
      signal,
      ...(writesToJournal(deps.env) ? { unit: inOwnUnit(deps) } : {}),
    });
    const what = `backup of ${host.target.binding.name}`;
    return await printOutcome(deps, host, { what, outcome, json: given.flag("json") });
  },
};

/** Started by systemd, without the daemon: this process and its children are in the unit already. */
function inOwnUnit({ log }: CliDeps): RunUnit {
  return { log, adopt: async () => undefined, explain: async (failure) => failure };
}

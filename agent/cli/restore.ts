import { RestoreRequest } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { type Arguments, UsageError } from "../../shared/node/arguments.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import * as runs from "../runs.ts";
import { loadBindingContext } from "./host.ts";
import { printOutcome } from "./print-outcome.ts";
import type { Verb } from "./verb.ts";

/** Restores from one snapshot of a binding. */
export const restore: Verb = {
  name: "restore",
  help: {
    usage: `restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never]
          [--delete] [--keep-replaced] [--dry-run] [--no-verify] [--json]`,
    summary: "put files back where they were, or under DIR; --delete: exactly the snapshot",
  },
  takes: {
    flags: ["json", "delete", "keep-replaced", "dry-run", "no-verify"],
    texts: ["target", "overwrite"],
    lists: ["include"],
    names: ["BINDING", "SNAPSHOT"],
    restInto: "include",
  },
  async run(deps, given) {
    const request = requestOf(given);
    const json = given.flag("json");
    const signal = deps.stopSignal();
    const host = await loadBindingContext(deps, given.name(0));
    if (!json) deps.out(`Will restore snapshot '${request.snapshot}'\n`);
    const outcome = await runs.restore(host.runner, {
      ...host.target,
      runId: uuidv7(deps.clock.now(), deps.random(10)),
      trigger: "manual",
      scheduledAt: null,
      signal,
      restore: request,
      keepReplaced: given.flag("keep-replaced"),
    });
    if (!json) for (const line of restoreResultLines(outcome)) deps.out(`${line}\n`);
    return await printOutcome(deps, host, { what: `restore of ${host.target.binding.name}`, outcome, json });
  },
};

function requestOf(given: Arguments): RestoreRequest {
  const request = RestoreRequest.safeParse({
    snapshot: given.name(1),
    target: given.text("target") ?? null,
    include: given.list("include"),
    overwrite: given.text("overwrite"),
    delete: given.flag("delete"),
    dryRun: given.flag("dry-run"),
    verify: !given.flag("no-verify"),
  });
  if (request.success) return request.data;
  const issue = request.error.issues[0];
  const field = String(issue?.path[0]);
  throw new UsageError(`${field === "snapshot" ? "SNAPSHOT" : `--${field}`} ${issue?.message}`);
}

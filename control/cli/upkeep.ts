import { Id } from "../../shared/ids.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { waitForRun, findBinding, printRunResult } from "./runs.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

export const forget = defineVerb({
  name: "forget",
  usage: "forget BINDING [--dry-run] [--json]",
  summary:
    "remove the snapshots that the retention no longer wants; --dry-run: only say which, and why the others stay",
  options: { "dry-run": { type: "boolean" }, json: { type: "boolean" } },
  words: ["BINDING"],
  run: async ({ values, words: [name], terminal, openClient }) => {
    const client = await openClient();
    const binding = await findBinding(client, name);
    const dryRun = values["dry-run"] === true;
    const queued = await client.ask(Run, "POST", `/bindings/${binding.id}/forget`, { dryRun });
    if (values.json !== true) return { status: await printRunResult(client, terminal, queued, true) };
    const ended = await waitForRun(client, queued.id);
    const status = ended.state === "succeeded" ? EXIT.done : ended.state === "warned" ? EXIT.warned : EXIT.failed;
    return { text: `${JSON.stringify(ended, null, 2)}\n`, status };
  },
});

export const check = defineVerb({
  name: "check",
  usage: "check REPOSITORY|BINDING [--wait]",
  summary: "look for damage in a repository, and read the next part of its data",
  options: { wait: { type: "boolean" } },
  words: ["REPOSITORY|BINDING"],
  run: async ({ values, words: [name], terminal, openClient }) => {
    const client = await openClient();
    const repository = await findRepository(client, name);
    const path =
      repository === null
        ? `/bindings/${(await findBinding(client, name)).id}/check`
        : `/repositories/${repository.id}/check`;
    const queued = await client.ask(Run, "POST", path);
    return { status: await printRunResult(client, terminal, queued, values.wait === true) };
  },
});

export const prune = defineVerb({
  name: "prune",
  usage: "prune REPOSITORY [--wait]",
  summary: "free the space of what was forgotten",
  options: { wait: { type: "boolean" } },
  words: ["REPOSITORY"],
  run: async ({ values, words: [name], terminal, openClient }) => {
    const client = await openClient();
    const repository = await findRepository(client, name);
    if (repository === null) throw new ExitError(EXIT.failed, `no repository is called '${name}'`);
    const queued = await client.ask(Run, "POST", `/repositories/${repository.id}/prune`);
    return { status: await printRunResult(client, terminal, queued, values.wait === true) };
  },
});

/** By its name or its id; null when there is none. */
async function findRepository(client: Client, wanted: string): Promise<Repository | null> {
  const all = await client.list(Repository, "/repositories", Id.safeParse(wanted).success ? {} : { name: wanted });
  return all.find(({ id, name }) => id === wanted || name === wanted) ?? null;
}

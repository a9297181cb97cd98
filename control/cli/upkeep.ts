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
  summary: "apply the retention of a binding; --dry-run: only show what it would remove, and why the rest stays",
  options: { "dry-run": { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["BINDING"],
  run: async ({ values, positionals: [name], terminal, openClient }) => {
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
  summary: "check a repository and read the next part of its data",
  options: { wait: { type: "boolean" } },
  positionals: ["REPOSITORY|BINDING"],
  run: async ({ values, positionals: [name], terminal, openClient }) => {
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
  summary: "prune a repository: free the space of removed snapshots",
  options: { wait: { type: "boolean" } },
  positionals: ["REPOSITORY"],
  run: async ({ values, positionals: [name], terminal, openClient }) => {
    const client = await openClient();
    const repository = await findRepository(client, name);
    if (repository === null) throw new ExitError(EXIT.failed, `no repository is called '${name}'`);
    const queued = await client.ask(Run, "POST", `/repositories/${repository.id}/prune`);
    return { status: await printRunResult(client, terminal, queued, values.wait === true) };
  },
});

/** Finds a repository by id or name; null when there is none. */
async function findRepository(client: Client, wanted: string): Promise<Repository | null> {
  const all = await client.list(Repository, "/repositories", Id.safeParse(wanted).success ? {} : { name: wanted });
  return all.find(({ id, name }) => id === wanted || name === wanted) ?? null;
}

import { parseArgs } from "node:util";
import { Id } from "../../shared/ids.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { openClient } from "./client.ts";
import { waitForRun, findBinding, printRunResult } from "./runs.ts";
import { expectPositionals, EXIT, ExitError, type Verb } from "./terminal.ts";

export const forget: Verb = {
  usage: "forget BINDING [--dry-run] [--json]",
  summary:
    "remove the snapshots that the retention no longer wants; --dry-run: only say which, and why the others stay",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { "dry-run": { type: "boolean" }, json: { type: "boolean" } },
    });
    const [name] = expectPositionals(positionals, ["BINDING"]);
    const client = await openClient(terminal);
    const binding = await findBinding(client, name);
    const dryRun = values["dry-run"] === true;
    const queued = await client.ask(Run, "POST", `/bindings/${binding.id}/forget`, { dryRun });
    if (values.json !== true) return await printRunResult(client, terminal, queued, true);
    const ended = await waitForRun(client, queued.id);
    terminal.out(`${JSON.stringify(ended, null, 2)}\n`);
    return ended.state === "succeeded" ? EXIT.done : ended.state === "warned" ? EXIT.warned : EXIT.failed;
  },
};

export const check: Verb = {
  usage: "check REPOSITORY|BINDING [--wait]",
  summary: "look for damage in a repository, and read the next part of its data",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: WAIT });
    const [name] = expectPositionals(positionals, ["REPOSITORY|BINDING"]);
    const client = await openClient(terminal);
    const repository = await findRepository(client, name);
    const path =
      repository === null
        ? `/bindings/${(await findBinding(client, name)).id}/check`
        : `/repositories/${repository.id}/check`;
    return await printRunResult(client, terminal, await client.ask(Run, "POST", path), values.wait === true);
  },
};

export const prune: Verb = {
  usage: "prune REPOSITORY [--wait]",
  summary: "free the space of what was forgotten",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: WAIT });
    const [name] = expectPositionals(positionals, ["REPOSITORY"]);
    const client = await openClient(terminal);
    const repository = await findRepository(client, name);
    if (repository === null) throw new ExitError(EXIT.failed, `no repository is called '${name}'`);
    const queued = await client.ask(Run, "POST", `/repositories/${repository.id}/prune`);
    return await printRunResult(client, terminal, queued, values.wait === true);
  },
};

const WAIT = { wait: { type: "boolean" } } as const;

/** By its name or its id; null when there is none. */
async function findRepository(client: Client, wanted: string): Promise<Repository | null> {
  const all = await client.list(Repository, "/repositories", Id.safeParse(wanted).success ? {} : { name: wanted });
  return all.find(({ id, name }) => id === wanted || name === wanted) ?? null;
}

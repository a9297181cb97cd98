import { setTimeout as pause } from "node:timers/promises";
import { CreateRestore } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Id } from "../../shared/ids.ts";
import { forgetPlanLines } from "../../shared/forget-plan.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import { isOver, Run } from "../../shared/run.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { expectPositionals, ExitError, type Terminal } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

const POLL_INTERVAL_MS = 500;

export const run = defineVerb({
  name: "run",
  usage: "run BINDING [--wait]",
  summary: "back up now",
  options: { wait: { type: "boolean" } },
  positionals: ["BINDING"],
  run: async ({ values, positionals: [name], terminal, openClient }) => {
    const client = await openClient();
    const binding = await findBinding(client, name);
    const queued = await client.ask(Run, "POST", `/bindings/${binding.id}/run`);
    return { status: await printRunResult(client, terminal, queued, values.wait === true) };
  },
});

export const restore = defineVerb({
  name: "restore",
  usage:
    "restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never] [--delete] [--dry-run] [--no-verify] [--host HOST [--passphrase-file PATH]] [--wait]",
  summary: "restore files in place or into a directory, on their host or another",
  options: {
    target: { type: "string" },
    include: { type: "string", multiple: true },
    overwrite: { type: "string" },
    delete: { type: "boolean" },
    "dry-run": { type: "boolean" },
    "no-verify": { type: "boolean" },
    host: { type: "string" },
    "passphrase-file": { type: "string" },
    wait: { type: "boolean" },
  },
  positionals: ["BINDING", "SNAPSHOT"],
  takesRest: true,
  run: async ({ values, positionals: [name, snapshot], rest, terminal, openClient }) => {
    // `--include A B C`: the arguments after the first path are paths too.
    if (values.include === undefined) expectPositionals(rest, []);
    const input = CreateRestore.omit({ binding: true }).safeParse({
      snapshot,
      target: values.target ?? null,
      include: [...(values.include ?? []), ...rest],
      overwrite: values.overwrite,
      delete: values.delete,
      dryRun: values["dry-run"],
      verify: values["no-verify"] !== true,
      host: values.host ?? null,
      passphrase: values["passphrase-file"] === undefined ? null : { file: values["passphrase-file"] },
    });
    if (!input.success) {
      throw new UsageError(input.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
    }
    const client = await openClient();
    const binding = await findBinding(client, name);
    const queued = await client.ask(Run, "POST", "/restores", { ...input.data, binding: binding.id });
    // A dry run always waits, because its result is the point.
    return { status: await printRunResult(client, terminal, queued, values.wait === true || input.data.dryRun) };
  },
});

/** Polls until the run is over, because the API has no events. */
export async function waitForRun(client: Client, id: Id): Promise<Run> {
  for (;;) {
    const now = await client.ask(Run, "GET", `/runs/${id}`);
    if (isOver(now.state)) return now;
    await pause(POLL_INTERVAL_MS);
  }
}

/** Finds a binding by id, or by a name that only one host has. Throws ExitError. */
export async function findBinding(client: Client, name: string): Promise<Binding> {
  if (Id.safeParse(name).success) return client.ask(Binding, "GET", `/bindings/${name}`);
  const [found, ...others] = await client.list(Binding, "/bindings", { name });
  if (found === undefined)
    throw new ExitError(EXIT.failed, `no binding is called '${name}': \`holdfast status\` lists them`);
  if (others.length === 0) return found;
  const ids = [found, ...others].map(({ id, host }) => `  ${id}  (host ${host})`);
  throw new ExitError(EXIT.failed, [`several hosts have a binding '${name}'; give its id:`, ...ids].join("\n"));
}

/** Prints the run's id, or waits and prints its result. @returns the exit status */
export async function printRunResult(client: Client, terminal: Terminal, queued: Run, wait: boolean): Promise<number> {
  if (!wait) {
    terminal.out(`${queued.id}\n`);
    return EXIT.done;
  }
  const ended = await waitForRun(client, queued.id);
  terminal.out(`${ended.state} ${ended.snapshot ?? "-"}\n`);
  for (const line of ended.plan === null ? [] : forgetPlanLines(ended.plan)) terminal.out(`${line}\n`);
  for (const line of restoreResultLines(ended)) terminal.out(`${line}\n`);
  for (const warning of ended.warnings) terminal.err(`${warning}\n`);
  if (ended.failure !== null) terminal.err(`${ended.failure.message}\n${ended.failure.next}\n`);
  if (ended.state === "succeeded") return EXIT.done;
  if (ended.state === "warned") return EXIT.warned;
  return ended.failure?.code === "repository.locked" ? EXIT.tryLater : EXIT.failed;
}

import { clientOf } from "./client.ts";
import { waitForRun } from "./runs.ts";
import type { Terminal } from "./terminal.ts";
import { defineVerb } from "./verb.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { isGood, Run, Snapshot } from "../../shared/run.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { ensureAdminToken } from "../runtime/node/admin-token.ts";
import { type NodeConfig, readConfig } from "../runtime/node/config.ts";
import { declareControlPlane, type FirstContract, writeControlHooks } from "../runtime/node/control-contract.ts";
import {
  ensureEnrolled,
  letOthersThroughToAgent,
  superviseAgent,
  type LocalAgent,
} from "../runtime/node/local-agent.ts";
import { lineLog } from "../runtime/node/log.ts";
import { type RunningControl, startControl } from "../runtime/node/server.ts";
import { startLines } from "./start-lines.ts";

/**
 * `npm start`: runs the control plane in this process, enrols this machine with the agent as a child process, and backs
 * up the control plane's own database. Idempotent.
 */
export const start = defineVerb({
  name: "start",
  usage: "start",
  summary: "run the control plane, with this machine as its first host, until Ctrl-C",
  options: {},
  positionals: [],
  run: async ({ terminal }) => {
    const config = readConfig(terminal.env);
    const asked = waitForStopSignal();
    const log = lineLog((line) => terminal.err(`control | ${line}`));
    const control = await startControl(config, { log: { ...log, info: () => undefined } });
    const running: Running = { control, config, terminal, agent: null, isStopping: false };
    try {
      await Promise.race([asked, startEverything(running)]);
      await asked;
    } finally {
      await stop(running);
    }
    return {};
  },
});

interface Running {
  readonly control: RunningControl;
  readonly config: NodeConfig;
  readonly terminal: Terminal;
  /** Null until it is started. */
  agent: LocalAgent | null;
  isStopping: boolean;
}

async function startEverything(running: Running): Promise<void> {
  const { control, config, terminal } = running;
  const token = await ensureAdminToken(control.deps, config.dataDir);
  const client = clientOf(control.localUrl, token.token);
  await writeControlHooks(config);
  const host = await ensureEnrolled(client, control, config.dataDir);
  await letOthersThroughToAgent(config.dataDir);
  if (running.isStopping) return;
  running.agent = superviseAgent(config.dataDir, (line) => terminal.err(`${line}\n`));
  const first = await declareControlPlane(client, config, host.id);
  const failed = first === null ? null : await firstBackup(client, terminal, first);
  const { command } = await client.ask(EnrollmentCreated, "POST", "/enrollments", {});
  const now =
    first === null ? null : { ...first, binding: await client.ask(Binding, "GET", `/bindings/${first.binding.id}`) };
  const snapshot = first === null ? null : await lastSnapshot(client, first);
  const hasAgentFiles = (await control.deps.agentFiles.read("SHA256SUMS")) !== null;
  const { url } = control;
  terminal.out(await startLines({ config, url, token, host, first: now, snapshot, failed, hasAgentFiles, command }));
}

/** @returns the failed run; null when it succeeded, or an earlier one has */
async function firstBackup(client: Client, terminal: Terminal, { binding }: FirstContract): Promise<Run | null> {
  if (binding.lastSuccessAt !== null) return null;
  terminal.err("Running the first backup…\n");
  const queued = await client.ask(Run, "POST", `/bindings/${binding.id}/run`);
  const ended = await waitForRun(client, queued.id);
  return isGood(ended.state) ? null : ended;
}

async function lastSnapshot(client: Client, { binding }: FirstContract): Promise<Snapshot | null> {
  const { items } = await client.ask(page(Snapshot), "GET", `/snapshots?binding=${binding.id}&limit=1`);
  return items[0] ?? null;
}

/** Ctrl-C arrives from the terminal and again from npm: handled once. */
function waitForStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => resolve());
  });
}

async function stop(running: Running): Promise<void> {
  running.isStopping = true;
  const { agent, control, terminal } = running;
  if (agent !== null) terminal.err("Stopping. The agent finishes its current work first, up to 90 s.\n");
  await agent?.stop();
  await control.close();
}

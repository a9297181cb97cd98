import { randomBytes } from "node:crypto";
import { watch, type FSWatcher } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { agentPaths, type Paths } from "../../agent/config.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { type RunningControl, startControl } from "../../control/runtime/node/server.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { type ProviderName, Repository } from "../../shared/repository.ts";
import { isOver, Run } from "../../shared/run.ts";
import { type AgentProcess, agentIn } from "../support/agent.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { type Client, openClient } from "../support/client.ts";
import { until } from "../support/until.ts";
import { type Gateway, openGateway } from "./gateway.ts";
import { pathsOf, PASSPHRASE } from "./real-repository.ts";

/**
 * A host with a service for each tool, whose agent is a real process that is killed; its control plane is in this
 * process.
 */
export interface KillableHost {
  readonly root: string;
  readonly paths: Paths;
  readonly agent: AgentProcess;
  readonly gateway: Gateway;
  readonly admin: Client;
  readonly services: Readonly<Record<ProviderName, Service>>;
  /** Ids of the runs whose file was seen in the spool. */
  readonly seen: ReadonlySet<string>;
  /** Asks for a backup now. */
  order(service: Service): Promise<Run>;
  /** Has a backup come by its schedule in a few seconds. */
  schedule(service: Service): Promise<void>;
  /** The binding's newest runs, of all kinds, newest first. */
  runs(service: Service): Promise<Run[]>;
  /** Waits until every run is over and reported. */
  quiet(): Promise<void>;
  end(): Promise<void>;
}

/** What is backed up by one tool: its hooks write down each time they run, and stop and start it. */
export interface Service {
  readonly provider: ProviderName;
  readonly binding: Binding;
  readonly source: string;
  /** `before RUN` and `after RUN`, a line each time a hook ran. */
  readonly traces: string;
  /** There while the service is stopped. */
  readonly stopped: string;
  /**
   * Holds how many seconds the next hook of that phase waits before it kills its own agent, and whether it first does
   * its work.
   */
  readonly killIn: Readonly<Record<"before" | "after", string>>;
}

export async function openKillableHost(): Promise<KillableHost> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-killed-"));
  const opened: { built?: Built; control?: RunningControl; agent?: AgentProcess; watcher?: FSWatcher } = {};
  const gateway = await openGateway();
  const end = async (): Promise<void> => {
    opened.watcher?.close();
    await opened.agent?.kill("SIGTERM");
    await gateway.stop();
    await opened.control?.close();
    await opened.built?.remove();
    await rm(root, { recursive: true, force: true });
  };
  try {
    const built = (opened.built = await buildPrograms());
    const control = (opened.control = await openControl(join(root, "control"), gateway));
    const made = await createToken(control.deps, { name: "faults", scope: "admin", expiresInSeconds: null });
    const admin = openClient(control.localUrl, () => made.token);
    const agent = (opened.agent = agentIn(root, {}, process.env["HOLDFAST_AGENT_PROGRAM"] ?? built.agent));
    const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
    const enrolled = await agent.cli("enroll", "--url", gateway.url, "--token", token);
    if (enrolled.code !== 0) throw new Error(enrolled.stderr);
    await writeFile(join(root, "passphrase"), `${PASSPHRASE}\n`, { mode: 0o600 });
    const services = {
      restic: await openService(admin, root, "restic"),
      borg: await openService(admin, root, "borg"),
    };
    const paths = agentPaths(root);
    await mkdir(paths.spoolDir, { recursive: true, mode: 0o700 });
    const seen = new Set<string>();
    opened.watcher = watch(paths.spoolDir, (_event, name) => {
      const id = /^([0-9a-f-]{36})\.json$/.exec(name ?? "")?.[1];
      if (id !== undefined) seen.add(id);
    });
    const host = hostOf({ root, paths, agent, gateway, admin, services, seen, end });
    agent.start();
    for (const service of [services.restic, services.borg]) await host.order(service);
    await host.quiet();
    await cheapenKey(pathsOf(root, "restic").repository, PASSPHRASE);
    return host;
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * So much new is stored by each run that there is a middle of it: restic is slowed down, borg stores without a network.
 */
const NOISE_BYTES: Record<ProviderName, number> = { restic: 800_000, borg: 4_000_000 };

/** The assignment has to arrive before that. */
const DUE_IN_MS = 4000;

async function openControl(directory: string, gateway: Gateway): Promise<RunningControl> {
  const config = readConfig({
    HOLDFAST_DATA: directory,
    HOLDFAST_PORT: "0",
    HOLDFAST_URL: gateway.url,
    HOLDFAST_WEBHOOK_PRIVATE: "allow",
  });
  const control = await startControl(config, { log: { info: () => undefined, error: () => undefined } });
  gateway.leadTo(control.localUrl);
  return control;
}

async function openService(admin: Client, root: string, provider: ProviderName): Promise<Service> {
  const { source, repository: location } = pathsOf(root, provider);
  const at = (name: string): string => join(root, `${provider}-${name}`);
  const service = { provider, source, traces: at("traces"), stopped: at("stopped") };
  const killIn = { before: at("kill-in-before"), after: at("kill-in-after") };
  await mkdir(source, { recursive: true });
  await writeFile(join(source, "letter"), "dear reader");
  await writeFile(service.traces, "");
  await writeHook(root, `stop-${provider}`, hookScript({ ...service, phase: "before", killIn: killIn.before }));
  await writeHook(root, `start-${provider}`, hookScript({ ...service, phase: "after", killIn: killIn.after }));
  const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: "nas",
    name: provider,
    request: {
      user: userInfo().username,
      sourceDirectories: [source],
      hooks: { beforeBackup: [`stop-${provider}`], afterBackup: [`start-${provider}`] },
    },
  });
  const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: `disk-${provider}`,
    provider,
    location,
    passphrase: { file: join(root, "passphrase") },
  });
  const settings = {
    timerConfig: { OnCalendar: "2099-01-01", RandomizedDelaySec: "0" },
    // One of them is enough for a forget to be killed; borg takes seconds for one.
    retention: provider === "restic" ? { keep_last: 6 } : {},
    limitUploadKiBs: 2000,
    performance: { niceness: 0 },
  };
  const body = { contract: contract.id, repository: repository.id, settings };
  return { ...service, killIn, binding: await admin.ask(Binding, "POST", "/api/v1/bindings", body) };
}

/** What the hook does last, so that one which is ended before has not done it. */
const WORK = { before: (stopped: string) => `touch '${stopped}'`, after: (stopped: string) => `rm -f '${stopped}'` };

function hookScript(hook: { phase: "before" | "after"; traces: string; stopped: string; killIn: string }): string {
  const { phase, traces, stopped, killIn } = hook;
  return `echo "${phase} $HOLDFAST_RUN" >>'${traces}'
if test -e '${killIn}'; then
  read -r seconds <'${killIn}'
  rm '${killIn}'
  sleep "$seconds"
  kill -9 "$PPID"
  sleep 1.5
fi
${WORK[phase](stopped)}`;
}

async function writeHook(root: string, name: string, script: string): Promise<void> {
  const directory = join(root, "etc/holdfast/hooks.d");
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await writeFile(join(directory, name), `#!/bin/sh -eu\n${script}\n`, { mode: 0o755 });
}

function hostOf(parts: Omit<KillableHost, "order" | "schedule" | "runs" | "quiet">): KillableHost {
  const { admin, paths, services, agent } = parts;
  const runs = async ({ binding }: Service): Promise<Run[]> =>
    (await admin.ask(page(Run), "GET", `/api/v1/runs?binding=${binding.id}&limit=20`)).items;
  const isQuiet = async (): Promise<boolean> => {
    const all = await Promise.all([services.restic, services.borg].map(runs));
    if (all.flat().some(({ state }) => !isOver(state))) return false;
    return !(await readdir(paths.spoolDir)).some((name) => name.endsWith(".json"));
  };
  return {
    ...parts,
    runs,
    order: async ({ binding, provider, source }) => {
      await writeFile(join(source, "noise"), randomBytes(NOISE_BYTES[provider]));
      return await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`, {});
    },
    schedule: async ({ binding }) => {
      const at = new Date(Date.now() + DUE_IN_MS).toISOString().slice(11, 19);
      const settings = { timerConfig: { OnCalendar: `*-*-* ${at} UTC`, RandomizedDelaySec: "0" } };
      await admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, { settings });
    },
    async quiet() {
      // Twice: a good backup's forget begins in a file of its own.
      for (const time of ["quiet", "still quiet"]) {
        await until(`the host to be ${time}; its agent said:\n${agent.said().slice(-2000)}`, isQuiet, 90);
        await delay(100);
      }
    },
  };
}

/** Every trace so far, oldest first. */
export async function tracesOf({ traces }: Service): Promise<{ phase: string; run: string }[]> {
  const lines = (await readFile(traces, "utf8")).split("\n").filter((line) => line !== "");
  return lines
    .map((line) => z.tuple([z.string(), z.string()]).parse(line.split(" ")))
    .map(([phase, run]) => ({ phase, run }));
}

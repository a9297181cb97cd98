import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { agentPaths } from "../../agent/config.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { agentIn } from "./agent.ts";
import type { AgentProcess } from "./agent.ts";
import { openClient } from "./client.ts";
import { pasteLine } from "./pasted.ts";
import type { Pasted } from "./pasted.ts";
import { until } from "./until.ts";

/** An object of the API, as JSON. */
export type Thing = Record<string, unknown>;

/** The API with an admin's token. Every call demands a 2xx. */
interface Api {
  get(path: string): Promise<Thing & { items: Thing[] }>;
  post(path: string, body: unknown): Promise<Thing>;
  patch(path: string, body: unknown): Promise<Thing>;
}

/** One control plane and one host, with real programs and nothing else. */
export interface World {
  readonly directory: string;
  readonly url: string;
  /** Who we are: a contract's user that needs no root. */
  readonly user: string;
  readonly agent: AgentProcess;
  readonly api: Api;
  /** Types a line into a shell on the host. */
  paste(line: string): Promise<Pasted>;
  startControl(): Promise<void>;
  stopControl(): Promise<void>;
  /** Puts a shell script into the host's hooks.d. */
  installHook(name: string, script: string): Promise<void>;
  /** A calendar expression that comes next in so many seconds, then daily. */
  inSeconds(seconds: number): string;
  /** Waits for the end of a run. */
  endOf(run: Thing): Promise<Thing>;
  /** Waits for the end of the first run of a binding after that one. */
  nextRun(binding: Thing, kind: string, after: Thing | null): Promise<Thing>;
  /** Waits until the agent has stored the newest assignment. */
  agentHasRevision(): Promise<void>;
  /** Where the host keeps the generated passphrase of a repository. */
  passphraseFile(repository: string): Promise<string>;
  /** Whether any file of the control plane has these bytes. */
  controlBytesContain(text: string): Promise<boolean>;
  end(): Promise<void>;
}

/** @param input `hasPolicy`: false leaves the host without a policy.json, as a new one is; else its level is `open` */
export async function startWorld({ hasPolicy = true } = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-world-"));
  const data = join(directory, "control");
  const root = join(directory, "host");
  await mkdir(root);
  const agent = agentIn(root);
  if (!hasPolicy) await rm(join(root, "etc/holdfast/policy.json"));
  let port = 0;
  const open = () =>
    startControl(readConfig({ HOLDFAST_DATA: data, HOLDFAST_PORT: String(port), HOLDFAST_WEBHOOK_PRIVATE: "allow" }));
  let control: Awaited<ReturnType<typeof open>> | null = await open();
  const { url } = control;
  port = Number(new URL(url).port);
  const { token } = await createToken(control.deps, { name: "test", scope: "admin", expiresInSeconds: null });
  const api = openApi(url, token);

  const endOf = (run: Thing): Promise<Thing> =>
    until(`the end of run ${run["id"]}; the agent said:\n${agent.said()}`, async () => {
      const now = await api.get(`/runs/${run["id"]}`);
      return now["finishedAt"] !== null && now;
    });

  return {
    directory,
    url,
    user: userInfo().username,
    agent,
    api,
    endOf,
    async paste(line) {
      // The line of installation says how far this host trusts the control plane.
      await rm(agentPaths(root).policyJson, { force: true });
      return await pasteLine(line, { HOLDFAST_AGENT_ROOT: root, TMPDIR: directory });
    },
    async startControl() {
      control = await open();
    },
    async stopControl() {
      await control?.close();
      control = null;
    },
    async installHook(name, script) {
      const hooks = join(root, "etc/holdfast/hooks.d");
      await mkdir(hooks, { recursive: true, mode: 0o755 });
      await writeFile(join(hooks, name), `#!/bin/sh -eu\n${script}\n`, { mode: 0o755 });
    },
    inSeconds: (seconds) => `*-*-* ${new Date(Date.now() + seconds * 1000).toISOString().slice(11, 19)} UTC`,
    async nextRun(binding, kind, after) {
      const run = await until(`a ${kind} run of ${binding["name"]}`, async () => {
        const { items } = await api.get(`/runs?binding=${binding["id"]}&kind=${kind}`);
        return items.findLast((each) => after === null || String(each["id"]) > String(after["id"]));
      });
      return endOf(run);
    },
    async agentHasRevision() {
      const host = (await api.get("/hosts")).items[0];
      await until("the agent to have the newest assignment", async () => {
        const status = await agent.cli("status", "--json");
        return status.code === 0 && JSON.parse(status.stdout).revision === host?.["revision"];
      });
    },
    async passphraseFile(repository) {
      const { items } = await api.get(`/repositories?name=${repository}`);
      return join(root, "var/lib/holdfast/secrets", String(items[0]?.["id"]));
    },
    async controlBytesContain(text) {
      const names = await readdir(data);
      const contents = await Promise.all(names.map((name) => readFile(join(data, name))));
      return contents.some((content) => content.includes(text));
    },
    async end() {
      await agent.kill("SIGTERM");
      await control?.close();
      // What an engine that was just stopped still writes.
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function openApi(url: string, token: string): Api {
  const client = openClient(url, () => token);
  const ask = async (method: string, path: string, body?: unknown): Promise<Thing> => {
    const answer = await client.send(method, `/api/v1${path}`, body);
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    }
    return answer.body as Thing;
  };
  return {
    get: async (path) => (await ask("GET", path)) as Thing & { items: Thing[] },
    post: (path, body) => ask("POST", path, body),
    patch: (path, body) => ask("PATCH", path, body),
  };
}

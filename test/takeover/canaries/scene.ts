import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { createToken } from "../../../control/domain/service/tokens.ts";
import { readConfig } from "../../../control/runtime/node/config.ts";
import { writeControlHooks } from "../../../control/runtime/node/control-contract.ts";
import { agentRoot } from "../../../control/runtime/node/local-agent.ts";
import { lineLog } from "../../../control/runtime/node/log.ts";
import { startControl } from "../../../control/runtime/node/server.ts";
import { agentIn } from "../../support/agent.ts";
import { buildPrograms } from "../../support/built.ts";
import { type Answer, openClient } from "../../support/client.ts";
import { oldestAndNewest } from "../../support/engines.ts";
import { holdfast as run } from "../../support/holdfast.ts";
import { startRestServer } from "../../support/storage.ts";
import { until } from "../../support/until.ts";
import { startRecorder } from "./traffic.ts";

export type Thing = Record<string, unknown>;
export type Scene = Awaited<ReturnType<typeof openScene>>;

/** A control plane, an agent whose every byte to it is kept, and a storage server with this password. */
export async function openScene({ password }: { password: string }) {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-canaries-"));
  const at = {
    data: join(directory, "control"),
    host: join(directory, "host"),
    repositories: join(directory, "repositories"),
    commandLines: join(directory, "command-lines"),
  };
  const programs = await buildPrograms();
  const logged: string[] = [];
  const printed: string[] = [];
  const config = readConfig({ HOLDFAST_DATA: at.data, HOLDFAST_PORT: "0", HOLDFAST_WEBHOOK_PRIVATE: "allow" });
  const control = await startControl(config, { log: lineLog((line) => logged.push(line)) });
  const { token } = await createToken(control.deps, { name: "test", scope: "admin", expiresInSeconds: null });
  const recorder = await startRecorder(Number(new URL(control.url).port));
  const storage = await startRestServer({ appendOnly: false, password });
  const wrapped = async (name: "restic" | "borg"): Promise<string> => {
    const file = join(directory, name);
    await writeFile(file, noting(oldestAndNewest(name)[1].path, at.commandLines));
    await chmod(file, 0o755);
    return file;
  };
  const agent = agentIn(at.host, { HOLDFAST_RESTIC: await wrapped("restic"), HOLDFAST_BORG: await wrapped("borg") });

  const get = (path: string): Promise<Answer> => openClient(control.url, () => token).send("GET", path);
  const api = async (method: string, path: string, body?: unknown): Promise<Thing & { items: Thing[] }> => {
    const answer = await openClient(control.url, () => token).send(method, `/api/v1${path}`, body);
    if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as Thing & { items: Thing[] };
  };
  const endOf = (started: Thing): Promise<Thing> =>
    until(`the end of run ${started["id"]}; the agent said:\n${agent.said()}`, async () => {
      const now = await api("GET", `/runs/${started["id"]}`);
      return now["finishedAt"] !== null && now;
    });
  return {
    directory,
    at,
    adminToken: token,
    recorder,
    storage,
    agent,
    /** What the control plane logged, and what all programs printed. */
    logged: () => logged.join(""),
    printed: () => `${printed.join("")}${agent.said()}`,
    /** As a client without the recorder: what sets a channel's secret carries it in clear, once. */
    api,
    get,
    endOf,
    async succeeds(path: string, body: unknown = {}): Promise<Thing> {
      const ended = await endOf(await api("POST", path, body));
      expect(ended, JSON.stringify(ended["failure"])).toMatchObject({ state: "succeeded" });
      return ended;
    },
    /** @param input `isKit`: what it prints is the kit, which is for paper and not searched */
    async holdfast(words: string[], { input = "", isKit = false, code = 0 } = {}): Promise<string> {
      const environment = { HOLDFAST_URL: control.url, HOLDFAST_TOKEN: token };
      const outcome = await run(programs.holdfast, { words, environment, input });
      expect(outcome.code, outcome.stderr).toBe(code);
      printed.push(outcome.stderr, isKit ? "" : outcome.stdout);
      return outcome.stdout;
    },
    async onHost(...words: string[]): Promise<void> {
      const { stdout, stderr } = await agent.cli(...words);
      printed.push(stdout, stderr);
    },
    /** A repository with its contract, and a binding that runs when it is asked to. */
    async bind(name: string, repository: Thing): Promise<{ binding: string; repository: string }> {
      const source = join(directory, "srv", name);
      await mkdir(source, { recursive: true });
      await writeFile(join(source, "letter"), `dear reader of ${name}`);
      const request = { user: userInfo().username, sourceDirectories: [source] };
      const contract = await api("POST", "/contracts", { host: "nas", name, request });
      const { id } = await api("POST", "/repositories", { name, ...repository });
      const settings = { enable: false };
      const binding = await api("POST", "/bindings", { name, contract: contract["id"], repository: id, settings });
      return { binding: String(binding["id"]), repository: String(id) };
    },
    /** Puts the database's copy and the signing key where the control plane's own backup reads them. */
    async stageControlBackup(): Promise<void> {
      await writeControlHooks(config);
      const hook = join(agentRoot(at.data), "etc/holdfast/hooks.d/control-database");
      const { stdout, stderr } = await promisify(execFile)(hook);
      printed.push(stdout, stderr);
    },
    async end() {
      await agent.kill("SIGTERM");
      await recorder.end();
      await control.close();
      await storage.stop();
      await programs.remove();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Notes the arguments of the engine and of every process there is at that moment, then becomes the engine. */
function noting(engine: string, file: string): string {
  return [
    "#!/bin/sh",
    `{ printf '%s\\0' "$0" "$@"; cat /proc/[0-9]*/cmdline; } >>'${file}' 2>/dev/null`,
    `exec '${engine}' "$@"`,
    "",
  ].join("\n");
}

import { type ChildProcess, spawn } from "node:child_process";
import { chmod, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import * as z from "zod";
import { createBackoff } from "../../../shared/backoff.ts";
import { EnrollmentCreated, Host } from "../../../shared/host.ts";
import { Id } from "../../../shared/ids.ts";
import type { Client } from "./api-client.ts";
import { programFiles } from "./dist.ts";
import { isMissing, readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
const STOP_WITHIN_MS = 90_000;

/** The agent of this machine, as a child process in the same terminal. */
export interface LocalAgent {
  /** Asks it to finish its work, waits up to 90 s, then kills it. */
  stop(): Promise<void>;
}

/** The HOLDFAST_AGENT_ROOT of this machine's agent: all its paths are below it. */
export function agentRoot(dataDir: string): string {
  return join(dataDir, "agent");
}

/**
 * An agent of root becomes other users: they have to walk through the data directory to the agent's cache and hooks.
 * Everything else in it is closed to them first, whatever it was before.
 */
export async function letOthersThroughToAgent(dataDir: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const root = agentRoot(dataDir);
  for (const entry of await readdir(dataDir, { withFileTypes: true })) {
    const path = join(dataDir, entry.name);
    if (path !== root && !entry.isSymbolicLink()) await changeMode(path, (mode) => mode & ~0o077);
  }
  for (const path of [dataDir, root]) await changeMode(path, (mode) => mode | 0o011);
  // As in /etc: what is secret there has a mode of its own.
  for (const path of ["etc", "etc/holdfast", "etc/holdfast/hooks.d"]) {
    await changeMode(join(root, path), (mode) => mode | 0o055);
  }
}

async function changeMode(path: string, change: (mode: number) => number): Promise<void> {
  try {
    await chmod(path, change((await stat(path)).mode & 0o7777));
  } catch (error) {
    // SQLite removes its journals as it likes.
    if (!isMissing(error)) throw error;
  }
}

/** The part of agent.json that is kept up to date here: the control plane's URL. */
const AgentJson = z.looseObject({ host: Id, url: z.string() });

/**
 * Enrols this machine as a host, unless it is one.
 * @param control.localUrl URL of the control plane for the agent
 * @throws Error with a message for people
 */
export async function ensureEnrolled(client: Client, control: { localUrl: string }, dataDir: string): Promise<Host> {
  const file = join(agentRoot(dataDir), "etc/holdfast/agent.json");
  if ((await readTextIfExists(file)) === null) await enrol(client, control.localUrl, dataDir);
  const enrolled = AgentJson.parse(JSON.parse((await readTextIfExists(file)) ?? "null"));
  const [host] = (await client.list(Host, "/hosts")).filter(({ id }) => id === enrolled.host);
  if (host === undefined || host.revokedAt !== null) {
    const what = host === undefined ? "is unknown to this control plane" : `was revoked ("${host.name}")`;
    throw new Error(
      `the host in ${file} ${what}: to enrol as a new host, move ${agentRoot(dataDir)} away and start again`,
    );
  }
  if (enrolled.url !== control.localUrl) {
    const moved = { ...enrolled, url: control.localUrl };
    await writeFileAtomically(file, `${JSON.stringify(moved, null, 2)}\n`, 0o644);
  }
  return host;
}

/** Starts the agent, and restarts it with growing pauses when it ends unexpectedly. */
export function superviseAgent(dataDir: string, say: (line: string) => void): LocalAgent {
  let child: ChildProcess | null = null;
  let again: NodeJS.Timeout | undefined;
  let isStopping = false;
  // One agent on one machine: no jitter.
  const backoff = createBackoff({ firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS, random: () => 1 });

  const launch = (): void => {
    const startedAt = performance.now();
    const started = spawnAgent(dataDir, ["run"], {});
    child = started;
    forwardLines(started, (line) => say(`agent | ${line}`));
    void waitForExit(started).then((how) => {
      child = null;
      if (isStopping) return;
      if (performance.now() - startedAt > LONGEST_PAUSE_MS) backoff.reset();
      const pauseMs = backoff.next();
      say(`The agent ended unexpectedly (${how}); it restarts in ${pauseMs / 1000} s.`);
      again = setTimeout(launch, pauseMs);
    });
  };
  launch();
  return {
    stop: async () => {
      isStopping = true;
      clearTimeout(again);
      const last = child;
      if (last === null) return;
      const ended = waitForExit(last);
      last.kill("SIGTERM");
      const isSlow = await Promise.race([ended.then(() => false), pause(STOP_WITHIN_MS, true, { ref: false })]);
      if (isSlow && last.pid !== undefined) {
        say(
          `The agent did not stop within ${STOP_WITHIN_MS / 1000} s and is killed; its next start recovers its runs.`,
        );
        process.kill(-last.pid, "SIGKILL");
      }
      await ended;
    },
  };
}

async function enrol(client: Client, url: string, dataDir: string): Promise<void> {
  const { token } = await client.ask(EnrollmentCreated, "POST", "/enrollments", { expiresInSeconds: 600 });
  // Whoever started the control plane is the owner of this machine's agent too: it trusts it.
  const child = spawnAgent(dataDir, ["enroll", "--url", url, "--level", "open"], { HOLDFAST_ENROLL_TOKEN: token });
  const output: string[] = [];
  forwardLines(child, (line) => output.push(line));
  const how = await waitForExit(child);
  if (how !== "status 0") throw new Error(`this machine could not be enrolled (${how}): ${output.join("\n")}`);
}

/**
 * Starts the agent program in its own process group, so that Ctrl-C reaches it only once, through us. It inherits no
 * HOLDFAST_* variables, because they contain secrets of the control plane.
 */
function spawnAgent(dataDir: string, args: string[], more: Record<string, string>): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  return spawn(process.execPath, [programFiles.agent, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...Object.fromEntries(inherited), ...more, HOLDFAST_AGENT_ROOT: agentRoot(dataDir) },
  });
}

function forwardLines(child: ChildProcess, say: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on("line", say);
  }
}

/** @returns how it ended: `status N`, a signal, or an error */
function waitForExit(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(signal ?? `status ${code}`));
  });
}

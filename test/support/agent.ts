import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { builtPrograms } from "./built.ts";

const source = join(import.meta.dirname, "../../agent/main.ts");

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The real agent program, in its own root: what a person types on a host, and the daemon. */
export interface AgentProcess {
  /** Runs one verb to its end. */
  cli(...words: string[]): Promise<Outcome>;
  /** Starts the daemon. */
  start(): void;
  /** The daemon's; undefined: none runs. */
  pid(): number | undefined;
  /** Resolves when the daemon that runs now has ended, whoever ended it. */
  ended(): Promise<void>;
  /** Everything the daemon has said so far. */
  said(): string;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/**
 * The agent as it was bundled for the tests, or the program that HOLDFAST_AGENT_PROGRAM names: the compiled file, say.
 */
export function agentIn(
  root: string,
  environment: Record<string, string> = {},
  command = process.env["HOLDFAST_AGENT_PROGRAM"],
): AgentProcess {
  trustControlPlane(root);
  let daemon: ChildProcess | null = null;
  let said = "";
  const program = builtPrograms()?.agent ?? source;
  const launch = (words: string[]): ChildProcess =>
    spawn(command ?? process.execPath, command === undefined ? [program, ...words] : words, {
      env: { ...process.env, HOLDFAST_AGENT_ROOT: root, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
  return {
    cli: (...words) =>
      new Promise((resolve, reject) => {
        const child = launch(words);
        const outcome: Outcome = { code: null, stdout: "", stderr: "" };
        child.stdout?.on("data", (chunk: Buffer) => (outcome.stdout += chunk.toString()));
        child.stderr?.on("data", (chunk: Buffer) => (outcome.stderr += chunk.toString()));
        child.on("error", reject);
        child.on("close", (code) => resolve({ ...outcome, code }));
      }),
    start() {
      daemon = launch(["run"]);
      const keep = (chunk: Buffer): void => {
        said += chunk.toString();
      };
      daemon.stdout?.on("data", keep);
      daemon.stderr?.on("data", keep);
    },
    pid: () => daemon?.pid,
    ended: () => endOf(daemon),
    said: () => said,
    async kill(signal) {
      const child = daemon;
      daemon = null;
      child?.kill(signal);
      await endOf(child);
    },
  };
}

/** What waits for root is tested in test/takeover/: elsewhere a host without a policy has the level `open`. */
export function trustControlPlane(root: string): void {
  const policy = join(root, "etc/holdfast/policy.json");
  if (existsSync(policy)) return;
  mkdirSync(dirname(policy), { recursive: true, mode: 0o755 });
  writeFileSync(policy, JSON.stringify({ level: "open" }), { mode: 0o644 });
}

async function endOf(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => child.once("exit", resolve));
}

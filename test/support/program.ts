import { spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";

/** A started program that goes on until it is stopped. */
export interface Program {
  /** Everything it has printed so far, both streams. */
  output(): string;
  /** Ends it and everything it started. */
  stop(): Promise<void>;
  /** The same by SIGKILL, which nothing can prepare for. */
  kill(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 5_000;

/**
 * Starts a program in a process group of its own and waits until it is ready.
 * @param ready asked again and again; a throw means "not yet"
 * @throws with the program's output when it ends before it is ready, or is not ready within a minute
 */
export async function startProgram(input: {
  command: string;
  args: readonly string[];
  cwd?: string;
  env?: Record<string, string>;
  ready: () => Promise<boolean>;
}): Promise<Program> {
  const child = spawn(input.command, input.args, {
    cwd: input.cwd,
    env: { ...process.env, ...input.env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  const keep = (chunk: string): void => {
    printed += chunk;
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  let ended = false;
  const end = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", (error) => {
      keep(String(error));
      resolve();
    });
  }).then(() => {
    ended = true;
  });
  // A group of its own does not get the terminal's Ctrl-C.
  const takeAlong = (): void => killGroup(child.pid, "SIGKILL");
  process.once("exit", takeAlong);
  const kill = async (): Promise<void> => {
    process.off("exit", takeAlong);
    killGroup(child.pid, "SIGKILL");
    await end;
  };
  const program: Program = {
    output: () => printed,
    kill,
    stop: async () => {
      process.off("exit", takeAlong);
      killGroup(child.pid, "SIGTERM");
      await Promise.race([end, wait(STOP_WITHIN_MS, undefined, { ref: false })]);
      await kill();
    },
  };
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await isReady(input.ready))) {
    if (ended || Date.now() > deadline) {
      await program.stop();
      throw new Error(`${input.command} ${ended ? "ended before it was" : "did not get"} ready:\n${printed}`);
    }
    await wait(50);
  }
  return program;
}

async function isReady(ready: () => Promise<boolean>): Promise<boolean> {
  try {
    return await ready();
  } catch {
    return false;
  }
}

/** The group outlives its leader when the leader left children behind, so its members are asked too. */
function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}

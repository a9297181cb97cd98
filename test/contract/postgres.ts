import { execFile, execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startProgram } from "../support/program.ts";
import { numbersOf } from "./seed.ts";

const INSTALLED = "/usr/lib/postgresql";

/** A PostgreSQL of its own, reached through its socket only, by the user it runs as. */
export interface Postgres {
  readonly socket: string;
  /** Rows as lines, columns between bars. Throws what it complains about. */
  ask(database: string, sql: string): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<Postgres> {
  const version = readdirSync(INSTALLED).toSorted((one, other) => Number(other) - Number(one))[0] ?? "";
  const program = (name: string): string => join(INSTALLED, version, "bin", name);
  const directory = mkdtempSync(join(tmpdir(), "holdfast-postgres-"));
  const { uid, gid } = numbersOf("postgres");
  const [data, socket] = [join(directory, "data"), join(directory, "socket")];
  chmodSync(directory, 0o755);
  for (const each of [data, socket]) {
    mkdirSync(each, { mode: 0o700 });
    chownSync(each, uid, gid);
  }
  const asPostgres = ["-u", "postgres", "--"];
  execFileSync("runuser", [...asPostgres, program("initdb"), "-A", "trust", "--no-sync", "-D", data], {
    stdio: "ignore",
  });
  const psql = ["-XAt", "-v", "ON_ERROR_STOP=1", "-h", socket, "-U", "postgres"];
  const ask = async (database: string, sql: string): Promise<string[]> => {
    const args = [...asPostgres, program("psql"), ...psql, "-d", database, "-c", sql];
    const { stdout } = await promisify(execFile)("runuser", args, { cwd: "/" });
    return stdout.split("\n").slice(0, -1);
  };
  const options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", socket];
  const server = await startProgram({
    command: "runuser",
    args: [...asPostgres, program("postgres"), "-D", data, ...options],
    cwd: "/",
    ready: async () => (await ask("postgres", "select 1")).length === 1,
  });
  return {
    socket,
    ask,
    async stop() {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";

/** A database server of the distribution's, on a socket in a directory of its own, as its own user. */
export interface Server {
  readonly directory: string;
  /** PostgreSQL: the socket's directory; MariaDB: the socket. */
  readonly socket: string;
  /** Runs SQL as the server's owner. @returns what it printed, without headings */
  sql(database: string, text: string): string;
  stop(): Promise<void>;
}

const INSTALLED = "/usr/lib/postgresql";

/** @param auth whom the server lets in: who has the account of the role's name, or, as in a container, anybody inside */
export async function startPostgres(auth: "peer" | "trust" = "peer"): Promise<Server> {
  const { directory, as } = placeFor("postgres");
  const data = join(directory, "data");
  const newest = readdirSync(INSTALLED).toSorted((one, other) => Number(other) - Number(one))[0] ?? "";
  const bin = (name: string): string => join(INSTALLED, newest, "bin", name);
  as(bin("initdb"), "--no-sync", `--auth=${auth}`, "--encoding=UTF8", "--locale=C", "-D", data);
  const options = [
    "-D",
    data,
    "-c",
    "listen_addresses=",
    "-c",
    `unix_socket_directories=${directory}`,
    "-c",
    "fsync=off",
  ];
  const program = begin("postgres", [bin("postgres"), ...options]);
  const sql = (database: string, text: string): string =>
    as("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", directory, "-d", database, "-c", text);
  return await ready({ directory, socket: directory, sql }, { program, ask: () => sql("postgres", "select 1") });
}

export async function startMariadb(): Promise<Server> {
  const { directory } = placeFor("mysql");
  const data = join(directory, "data");
  const socket = join(directory, "mysqld.sock");
  const quiet = { stdio: "ignore" } as const;
  execFileSync("mariadb-install-db", ["--no-defaults", "--user=mysql", `--datadir=${data}`, "--skip-test-db"], quiet);
  const options = [
    `--datadir=${data}`,
    `--socket=${socket}`,
    "--skip-networking",
    "--innodb-flush-log-at-trx-commit=2",
  ];
  const program = begin("mysql", ["mariadbd", "--no-defaults", ...options, `--pid-file=${join(directory, "pid")}`]);
  const sql = (database: string, text: string): string =>
    run("mariadb", ["--no-defaults", "-NB", `--socket=${socket}`, "-e", text, ...(database === "" ? [] : [database])]);
  return await ready({ directory, socket, sql }, { program, ask: () => sql("", "select 1") });
}

function placeFor(user: string): { directory: string; as: (...command: string[]) => string } {
  const directory = mkdtempSync(join(tmpdir(), `holdfast-${user}-`));
  const [uid, gid] = ["-u", "-g"].map((which) => Number(run("id", [which, user])));
  chownSync(directory, uid ?? 0, gid ?? 0);
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, "files"));
  return { directory, as: (...command) => run("runuser", ["-u", user, "--", ...command]) };
}

function begin(user: string, command: string[]): { stop(): Promise<void>; hasEnded(): boolean } {
  const ids = [`--reuid=${user}`, `--regid=${user}`, "--init-groups", "--"];
  const child = spawn("setpriv", [...ids, ...command], { stdio: "ignore", cwd: "/" });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const takeAlong = (): void => void child.kill("SIGKILL");
  process.once("exit", takeAlong);
  return {
    hasEnded: () => child.exitCode !== null,
    async stop() {
      process.off("exit", takeAlong);
      // Both take it for a wish to end at once; of PostgreSQL's other signals, one waits for who is connected.
      child.kill(user === "postgres" ? "SIGINT" : "SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
      if (child.exitCode === null && child.signalCode === null) await gone;
      clearTimeout(late);
    },
  };
}

async function ready(
  server: Omit<Server, "stop">,
  { program, ask }: { program: ReturnType<typeof begin>; ask: () => string },
): Promise<Server> {
  const stop = async (): Promise<void> => {
    await program.stop();
    rmSync(server.directory, { recursive: true, force: true });
  };
  try {
    await until(`the server in ${server.directory}`, () => {
      if (program.hasEnded()) throw new Error("the server ended");
      try {
        return ask() !== "";
      } catch {
        return false;
      }
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { ...server, stop };
}

function run(program: string, args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], cwd: "/" }).trim();
}

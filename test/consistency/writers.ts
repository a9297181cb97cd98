import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { until } from "../support/until.ts";

/** A program that hammers a database. */
export interface Writer {
  /** The last number that is committed for certain. */
  committed(): number;
  stop(): Promise<void>;
}

/**
 * @param log where it writes down each number that is committed
 * @param start the last number before it
 */
export async function startWriter(command: readonly [string, ...string[]], log: string, start = 0): Promise<Writer> {
  const [program, ...args] = command;
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"], detached: true });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const committed = (): number => {
    // What follows the last newline is not written whole yet.
    const lines = readIfThere(log).split("\n");
    return Number(lines.at(-2) ?? start);
  };
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, "SIGKILL");
  };
  process.once("exit", kill);
  const stop = async (): Promise<void> => {
    process.off("exit", kill);
    kill();
    await gone;
  };
  try {
    await until(
      "the writer",
      () => committed() > 20 || (child.exitCode !== null && Promise.reject(new Error("it ended"))),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { committed, stop };
}

export async function startSqliteWriter(database: string, log: string): Promise<Writer> {
  return await startWriter([process.execPath, join(import.meta.dirname, "sqlite-writer.ts"), database, log], log);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** What a database holds, whatever its kind: it must be 1 to `count`, each with its sum. */
export interface Held {
  readonly count: number;
  readonly last: number;
  readonly rightSums: number;
}

/** SQL that any of the databases understands. */
export const HELD = `SELECT (SELECT count(*) FROM entries) AS count, (SELECT max(n) FROM entries) AS last,
  (SELECT count(*) FROM sums JOIN entries USING (n) WHERE total = n * (n + 1) / 2) AS right_sums`;

export function heldBySqlite(path: string): { held: Held; integrity: string } {
  const database = new DatabaseSync(path);
  try {
    const integrity = database.prepare("PRAGMA integrity_check").all();
    const row = database.prepare(HELD).get() ?? {};
    const held = { count: Number(row["count"]), last: Number(row["last"]), rightSums: Number(row["right_sums"]) };
    return { held, integrity: integrity.map((line) => String(line["integrity_check"])).join() };
  } finally {
    database.close();
  }
}

/** Whether it is all that was committed up to some moment between the two numbers. */
export function isPrefix({ count, last, rightSums }: Held, before: number, after: number): boolean {
  return count === last && rightSums === last && last >= before && last <= after + 1;
}

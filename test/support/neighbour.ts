import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/**
 * Another process in the same SQLite file. Only another process: two SQLite libraries in one don't see each other's
 * locks.
 */
export interface Neighbour {
  /** Begins to write and holds the lock. */
  lock(): Promise<void>;
  unlock(): Promise<void>;
  /** Runs one statement. @returns the first column of its rows */
  column(sql: string): Promise<unknown[]>;
  end(): Promise<void>;
}

/** @param file the path of the database; it is made when it is not there */
export function startNeighbour(file: string): Neighbour {
  const child = spawn(process.execPath, ["--no-warnings", "-e", program, file], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (sql: string): Promise<unknown[]> => {
    child.stdin.write(`${JSON.stringify(sql)}\n`);
    return JSON.parse(String((await lines.next()).value)) as unknown[];
  };
  return {
    lock: async () => void (await ask("BEGIN IMMEDIATE")),
    unlock: async () => void (await ask("ROLLBACK")),
    column: ask,
    async end() {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}

/** One statement in, one line out. */
const program = `
  const { DatabaseSync } = require("node:sqlite");
  const db = new DatabaseSync(process.argv[1], { timeout: 10_000 });
  db.exec("PRAGMA journal_mode = WAL");
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    console.log(JSON.stringify(db.prepare(JSON.parse(line)).all().map((row) => Object.values(row)[0])));
  });
`;

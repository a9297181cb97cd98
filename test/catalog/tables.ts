import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { until } from "../support/until.ts";
import type { Server } from "../consistency/servers.ts";
import type { Columns } from "./columns.ts";

/** A service's database: its first table is written to while it is backed up, the others hold their own name. */
export interface Tables {
  readonly others: readonly string[];
  make(): Promise<void>;
  /** Commits row after row, numbered from 1, until it is stopped. */
  write(): { readonly begun: Promise<void>; stop(): Promise<void> };
  count(): number;
  wreck(): Promise<void>;
  /** Away with all of it, its roles too. */
  drop(): Promise<void>;
  /** What SQLite says of it, the numbers of the rows, and what the other tables hold. */
  read(): { verdict: string; rows: number[]; others: string[] };
}

export type Names = readonly [written: string, ...others: string[]];

/** @param columns of the tables that are known; a row of another table holds the names of its columns */
export function sqliteTables(path: string, [written, ...names]: Names, columns: Columns = {}): Tables {
  const columnsOf = (table: string): readonly string[] => columns[table] ?? ["name"];
  const rowOf = (table: string): string[] => columnsOf(table).map((column) => `${table}.${column}`);
  const quoted = (table: string): string =>
    columnsOf(table)
      .map((column) => `"${column}"`)
      .join(", ");
  const others = names.map((table) => rowOf(table).join(", "));
  const open = (): DatabaseSync => new DatabaseSync(path, { timeout: 5_000 });
  const using = <T>(work: (db: DatabaseSync) => T): T => {
    const db = open();
    try {
      return work(db);
    } finally {
      db.close();
    }
  };
  return {
    others,
    async make() {
      await mkdir(dirname(path), { recursive: true });
      using((db) => {
        db.exec(`PRAGMA journal_mode = WAL; CREATE TABLE "${written}" (${quoted(written)})`);
        for (const table of names) {
          db.exec(`CREATE TABLE "${table}" (${quoted(table)})`);
          const places = rowOf(table).map(() => "?");
          db.prepare(`INSERT INTO "${table}" VALUES (${places.join(", ")})`).run(...rowOf(table));
        }
      });
    },
    write() {
      const db = open();
      const stop = new AbortController();
      let begin = (): void => {};
      const begun = new Promise<void>((resolve) => (begin = resolve));
      const insert = db.prepare(`INSERT INTO "${written}" ("${columnsOf(written).at(-1)}") VALUES (?)`);
      const ended = (async () => {
        while (!stop.signal.aborted) {
          insert.run("x".repeat(500));
          begin();
          await pause(1);
        }
        db.close();
      })();
      return { begun, stop: async () => (stop.abort(), await ended) };
    },
    count: () => using((db) => Number(db.prepare(`SELECT count(*) AS n FROM "${written}"`).get()?.["n"])),
    // Its files are lost with all others.
    wreck: async () => undefined,
    drop: async () => undefined,
    read: () =>
      using((db) => ({
        verdict: String(db.prepare("PRAGMA integrity_check").get()?.["integrity_check"]),
        rows: db
          .prepare(`SELECT _rowid_ AS n FROM "${written}" ORDER BY n`)
          .all()
          .map(({ n }) => Number(n)),
        others: names.map((table) => Object.values(db.prepare(`SELECT * FROM "${table}"`).get() ?? {}).join(", ")),
      })),
  };
}

/** How the two servers write the same things. */
const DIALECTS = {
  postgres: {
    quote: (name: string) => `"${name}"`,
    table: (name: string) => `CREATE TABLE "${name}" (n serial PRIMARY KEY)`,
    row: (name: string) => `INSERT INTO "${name}" DEFAULT VALUES;\n`,
    client: (socket: string, database: string) => `runuser -u postgres -- psql -Xq -h ${socket} -d ${database}`,
  },
  mariadb: {
    quote: (name: string) => `\`${name}\``,
    table: (name: string) => `CREATE TABLE \`${name}\` (n INT AUTO_INCREMENT PRIMARY KEY)`,
    row: (name: string) => `INSERT INTO \`${name}\` () VALUES ();\n`,
    client: (socket: string, database: string) => `mariadb --no-defaults --socket=${socket} ${database}`,
  },
};

export type ServerKind = keyof typeof DIALECTS;

/** @param server of that kind */
export function serverTables(
  kind: ServerKind,
  server: Server,
  { database, names: [written, ...others] }: { database: string; names: Names },
): Tables {
  const { quote, table, row, client } = DIALECTS[kind];
  const sql = (text: string): string => server.sql(database, text);
  const count = (): number => Number(sql(`SELECT count(*) FROM ${quote(written)}`));
  return {
    others,
    count,
    async make() {
      // An ordinary role owns it, as the modules and packages of these services have it.
      const owner = quote(`${database}_owner`);
      if (kind === "postgres") server.sql("postgres", `CREATE ROLE ${owner} LOGIN`);
      const owned = kind === "postgres" ? ` OWNER ${owner}` : "";
      const as = kind === "postgres" ? `SET ROLE ${owner}; ` : "";
      server.sql(kind === "postgres" ? "postgres" : "", `CREATE DATABASE ${quote(database)}${owned}`);
      sql(`${as}${table(written)}`);
      for (const name of others) {
        sql(`${as}CREATE TABLE ${quote(name)} (name text); INSERT INTO ${quote(name)} VALUES ('${name}')`);
      }
    },
    write() {
      const writer = spawn("/bin/sh", ["-c", `exec ${client(server.socket, database)}`], {
        stdio: ["pipe", "ignore", "ignore"],
        cwd: "/",
      });
      const ended = once(writer, "exit");
      const stop = new AbortController();
      const finished = (async () => {
        for (; !stop.signal.aborted; await pause(2)) writer.stdin.write(row(written));
        writer.stdin.end();
        await ended;
      })();
      const begun = until(`a row in ${database}`, () => count() > 0);
      return { begun: begun.then(() => undefined), stop: async () => (stop.abort(), await finished) };
    },
    async wreck() {
      server.sql(kind === "postgres" ? "postgres" : "", `DROP DATABASE ${quote(database)}`);
    },
    async drop() {
      server.sql(kind === "postgres" ? "postgres" : "", `DROP DATABASE ${quote(database)}`);
      if (kind === "postgres") server.sql("postgres", `DROP ROLE ${quote(`${database}_owner`)}`);
    },
    read: () => ({
      verdict: "ok",
      rows: sql(`SELECT n FROM ${quote(written)} ORDER BY n`)
        .split("\n")
        .filter((line) => line !== "")
        .map(Number),
      others: others.map((name) => sql(`SELECT name FROM ${quote(name)}`)),
    }),
  };
}

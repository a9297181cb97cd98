import { createClient } from "@libsql/client";
import { sql } from "drizzle-orm";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { startSqld } from "../support/sqld.ts";
import { temporaryDirectory } from "./deps.ts";

/** Another process in the same database. Only another process: two SQLite libraries in one process don't see each other's locks. */
interface Neighbour {
  /** Begins to write and holds the lock. */
  lock(): Promise<void>;
  unlock(): Promise<void>;
  rows(): Promise<string[]>;
}

test("the trap: after SQLITE_BUSY the driver's connection says ok and loses the row", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const client = createClient({ url: file, concurrency: 1 });
  onTestFinished(() => client.close());
  await neighbour.lock();
  await expect(client.execute("insert into notes values ('refused')")).rejects.toThrow("SQLITE_BUSY");
  await neighbour.unlock();

  expect((await client.execute("insert into notes values ('lost')")).rowsAffected).toBe(1);
  expect(await neighbour.rows()).toEqual([]);
});

test("a write waits for somebody else's lock, and what comes after it is really there", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file);
  onTestFinished(() => db.$client.close());
  await neighbour.lock();
  const waiting = db.run(sql`insert into notes values ('waited')`).then(() => "written");
  // A call that meets the lock answers at once; this one is still waiting after several tries.
  const first = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 300, "still waiting"))]);
  expect(first).toBe("still waiting");
  await neighbour.unlock();

  await waiting;
  await db.run(sql`insert into notes values ('later')`);
  await db.batch([db.run(sql`insert into notes values ('batch')`), db.run(sql`insert into notes values ('of two')`)]);
  expect(await neighbour.rows()).toEqual(["waited", "later", "batch", "of two"]);
});

test("every write is there when several callers meet a lock at once", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file);
  onTestFinished(() => db.$client.close());
  await db.run(sql`select 1`);
  await neighbour.lock();
  const writes = Array.from({ length: 20 }, (_, index) =>
    index % 2 === 0
      ? db.run(sql`insert into notes values (${String(index)})`).then(() => undefined)
      : db.batch([db.run(sql`insert into notes values (${String(index)})`)]).then(() => undefined),
  );
  await neighbour.unlock();
  await Promise.all(writes);
  expect(await neighbour.rows()).toEqual(writes.map((_, index) => String(index)));
});

test("the pragmas hold on every connection, the one after a lock too", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file);
  onTestFinished(() => db.$client.close());
  const pragmas = async (): Promise<unknown[]> => [
    (await db.$client.execute("PRAGMA journal_mode")).rows[0]?.["journal_mode"],
    (await db.$client.execute("PRAGMA synchronous")).rows[0]?.["synchronous"],
    (await db.$client.execute("PRAGMA foreign_keys")).rows[0]?.["foreign_keys"],
  ];
  expect(await pragmas()).toEqual(["wal", 2, 1]);
  await neighbour.lock();
  const waiting = db.run(sql`insert into notes values ('waited')`).then(() => undefined);
  await neighbour.unlock();
  await waiting;
  expect(await pragmas()).toEqual(["wal", 2, 1]);
});

test("a batch is whole or not at all", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file);
  onTestFinished(() => db.$client.close());
  const half = db.batch([db.run(sql`insert into notes values ('half')`), db.run(sql`insert into notes values (null)`)]);
  await expect(half).rejects.toThrow();
  await db.run(sql`insert into notes values ('next')`);
  expect(await neighbour.rows()).toEqual(["next"]);
});

test("on a server, every write of several clients at once is there", async () => {
  const sqld = await startSqld();
  onTestFinished(sqld.stop);
  const [first, second] = [openDatabase(sqld.url), openDatabase(sqld.url)];
  await first.run(sql`create table notes (text not null)`);
  const write = (db: typeof first, text: string): Promise<unknown> =>
    db.batch([db.run(sql`select count(*) from notes`), db.run(sql`insert into notes values (${text})`)]);
  const texts = Array.from({ length: 20 }, (_, index) => String(index));
  await Promise.all(texts.flatMap((text) => [write(first, text), write(second, text)]));
  const { rows } = await first.$client.execute("select count(*) as written, count(distinct text) as texts from notes");
  expect(rows[0]).toMatchObject({ written: 40, texts: 20 });
  first.$client.close();
  second.$client.close();
});

async function databaseWithNeighbour(): Promise<{ file: string; neighbour: Neighbour }> {
  const path = join(await temporaryDirectory(), "control.db");
  const child = spawn(process.execPath, ["-e", neighbourProgram, path], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(async () => {
    child.stdin.end();
    await once(child, "exit");
  });
  const ask = asker(child);
  await ask("create");
  return {
    file: `file:${path}`,
    neighbour: {
      lock: async () => void (await ask("lock")),
      unlock: async () => void (await ask("unlock")),
      rows: async () => JSON.parse(await ask("rows")) as string[],
    },
  };
}

/** One word in, one line out. */
const neighbourProgram = `
  const { DatabaseSync } = require("node:sqlite");
  const db = new DatabaseSync(process.argv[1]);
  const does = {
    create: () => db.exec("PRAGMA journal_mode = WAL; CREATE TABLE notes (text NOT NULL)"),
    lock: () => db.exec("BEGIN IMMEDIATE"),
    unlock: () => db.exec("ROLLBACK"),
    rows: () => db.prepare("SELECT text FROM notes ORDER BY rowid").all().map((row) => row.text),
  };
  require("node:readline").createInterface({ input: process.stdin }).on("line", (word) => {
    console.log(JSON.stringify(does[word]() ?? null));
  });
`;

function asker(child: ChildProcess): (word: string) => Promise<string> {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("the neighbour has no pipes");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return async (word) => {
    stdin.write(`${word}\n`);
    return String((await lines.next()).value);
  };
}

import { createClient } from "@libsql/client";
import { sql } from "drizzle-orm";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { type Neighbour, startNeighbour } from "../support/neighbour.ts";
import { startSqld } from "../support/sqld.ts";
import { temporaryDirectory } from "./deps.ts";

test("a known bug: after SQLITE_BUSY the driver's connection reports success and loses the row", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const client = createClient({ url: file, concurrency: 1 });
  onTestFinished(() => client.close());
  await neighbour.lock();
  await expect(client.execute("insert into notes values ('refused')")).rejects.toThrow("SQLITE_BUSY");
  await neighbour.unlock();

  expect((await client.execute("insert into notes values ('lost')")).rowsAffected).toBe(1);
  expect(await neighbour.rows()).toEqual([]);
});

test("a write waits for another program's lock, and later writes are really stored", async () => {
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

test("all writes of concurrent callers behind a lock are stored", async () => {
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

test("behind a permanent lock all calls fail after the same wait, and write nothing", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file, undefined, 400);
  onTestFinished(() => db.$client.close());
  await db.run(sql`select 1`);
  await neighbour.lock();
  const from = performance.now();
  const writes = Array.from({ length: 20 }, (_, index) =>
    db.run(sql`insert into notes values (${`refused ${index}`})`).then(
      () => "written",
      (error: unknown) => String(error instanceof Error && error.cause),
    ),
  );
  for (const said of await Promise.all(writes)) expect(said).toContain("SQLITE_BUSY");
  // One after the other it would be 8 s.
  expect(performance.now() - from).toBeLessThan(4000);
  await neighbour.unlock();
  await db.run(sql`insert into notes values ('after')`);
  expect(await neighbour.rows()).toEqual(["after"]);
});

test("the pragmas are set on every connection, also after a lock", async () => {
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

test("a batch is atomic", async () => {
  const { file, neighbour } = await databaseWithNeighbour();
  const db = openDatabase(file);
  onTestFinished(() => db.$client.close());
  const half = db.batch([db.run(sql`insert into notes values ('half')`), db.run(sql`insert into notes values (null)`)]);
  await expect(half).rejects.toThrow();
  await db.run(sql`insert into notes values ('next')`);
  expect(await neighbour.rows()).toEqual(["next"]);
});

test("on a server, all concurrent writes of several clients are stored", async () => {
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

async function databaseWithNeighbour(): Promise<{
  file: string;
  neighbour: Neighbour & { rows(): Promise<unknown[]> };
}> {
  const path = join(await temporaryDirectory(), "control.db");
  const neighbour = startNeighbour(path);
  onTestFinished(neighbour.end);
  await neighbour.column("CREATE TABLE notes (text NOT NULL)");
  return {
    file: `file:${path}`,
    neighbour: { ...neighbour, rows: () => neighbour.column("SELECT text FROM notes ORDER BY rowid") },
  };
}

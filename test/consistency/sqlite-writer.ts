import { appendFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

// A program that writes without a pause until it is ended: sqlite-writer.ts DATABASE LOG. Every number is one
// transaction of two tables; it is in the log only when it is committed.
const [path = "", log = ""] = process.argv.slice(2);
const database = new DatabaseSync(path);
database.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 60000; PRAGMA wal_autocheckpoint = 50");
database.exec("CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY, text TEXT NOT NULL)");
database.exec("CREATE TABLE IF NOT EXISTS sums (n INTEGER PRIMARY KEY, total INTEGER NOT NULL)");
database.exec("CREATE INDEX IF NOT EXISTS by_text ON entries (text)");
const entry = database.prepare("INSERT INTO entries VALUES (?, ?)");
const sum = database.prepare("INSERT INTO sums VALUES (?, ?)");
for (let n = 1; ; n++) {
  database.exec("BEGIN IMMEDIATE");
  entry.run(n, `${n}`.padEnd(300, "x"));
  sum.run(n, (n * (n + 1)) / 2);
  database.exec("COMMIT");
  appendFileSync(log, `${n}\n`);
}

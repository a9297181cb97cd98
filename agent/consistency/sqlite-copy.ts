import { DatabaseSync, backup } from "node:sqlite";

const BUSY_MS = 60_000;
/** All pages in one step: the read transaction holds the snapshot anyway. */
const EVERY_PAGE = 2 ** 31 - 1;

/**
 * Copies a database that may be written to meanwhile, as of one moment, and checks the copy's integrity. Runs in its
 * own process, as the user who may read the database.
 * @throws with SQLite's error message
 */
export async function copySqlite(source: string, copy: string): Promise<void> {
  const database = openReadable(source);
  try {
    // A read transaction pins the snapshot: without it, each write of another process would restart the copy.
    database.exec("BEGIN");
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    await backup(database, copy, { rate: EVERY_PAGE });
    database.exec("COMMIT");
  } finally {
    database.close();
  }
  checkIntegrity(copy);
}

/** Read-only, unless a crash has left a journal that only a writer can roll back. */
function openReadable(source: string): DatabaseSync {
  const database = new DatabaseSync(source, { readOnly: true });
  try {
    prepare(database);
    return database;
  } catch (error) {
    database.close();
    if (!/readonly/.test(String(error))) throw error;
    const writable = new DatabaseSync(source);
    prepare(writable);
    return writable;
  }
}

function prepare(database: DatabaseSync): void {
  database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
  database.prepare("SELECT count(*) FROM sqlite_schema").get();
}

function checkIntegrity(copy: string): void {
  const database = new DatabaseSync(copy);
  try {
    const [first] = database.prepare("PRAGMA integrity_check(1)").all();
    const verdict = String(first?.["integrity_check"]);
    if (verdict !== "ok") throw new Error(`the database is damaged: ${verdict}`);
  } finally {
    database.close();
  }
}

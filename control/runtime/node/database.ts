import { type Client, createClient, LibsqlError, type ResultSet } from "@libsql/client";
import { drizzle } from "drizzle-orm/libsql";
import { BUSY_PATIENCE_MS, isReadOnly, retryWhileBusy } from "../../db/busy.ts";
import type { Database } from "../../db/transaction.ts";
import { databaseFile } from "./config.ts";
import { connectFile } from "./database-file.ts";

/**
 * Opens the control plane's database. Connects at the first call.
 * @param url `file:/path`, `libsql://…`, `https://…` or `http://…`
 * @param token of a remote database, if it needs one
 * @param patienceMs how long a call waits for other writers; then it fails without an effect
 */
export function openDatabase(
  url: string,
  token?: string,
  patienceMs = BUSY_PATIENCE_MS,
): Database & { $client: Client } {
  const file = databaseFile({ databaseUrl: url });
  if (file !== null) return drizzle(fileClient(connectFile(file), patienceMs));
  const raw = createClient({ url, concurrency: 20, ...(token ? { authToken: token } : {}) });
  return drizzle(remoteClient(raw, patienceMs));
}

/**
 * One connection, one caller at a time. After SQLITE_BUSY the driver leaves a statement open on its connection: later
 * writes report success and are lost (libsql-client-ts#352). So such a connection is replaced before the next call, and
 * the new one gets the pragmas again.
 */
function fileClient(raw: Client, patienceMs: number): Client {
  let prepared = false;
  let queue: Promise<unknown> = Promise.resolve();

  const attempt = async <T>(call: () => Promise<T>): Promise<T> => {
    try {
      if (!prepared) await prepare(raw);
      prepared = true;
      return await call();
    } catch (error) {
      if (!leavesConnectionClean(error)) {
        prepared = false;
        raw.reconnect();
      }
      throw error;
    }
  };
  const runInOrder = <T>(call: () => Promise<T>): Promise<T> => {
    // Counted from now, not from its turn: behind a long lock all calls fail after the same wait, and no queue grows.
    const deadline = performance.now() + patienceMs;
    const turn = queue.then(() => retryWhileBusy(() => attempt(call), deadline));
    queue = turn.catch(() => undefined);
    return turn;
  };
  return wrapClient(raw, runInOrder);
}

/** A server serializes writers itself, but it also answers SQLITE_BUSY when there are several. */
function remoteClient(raw: Client, patienceMs: number): Client {
  return wrapClient(raw, (call) => retryWhileBusy(call, performance.now() + patienceMs));
}

function wrapClient(raw: Client, guarded: <T>(call: () => Promise<T>) => Promise<T>): Client {
  return {
    execute: (...statement: unknown[]) =>
      guarded(() => Reflect.apply(raw.execute, raw, statement) as Promise<ResultSet>),
    batch: (statements, mode) =>
      guarded(() => raw.batch(statements, mode ?? (statements.every(isReadOnly) ? "deferred" : "write"))),
    migrate: (statements) => guarded(() => raw.migrate(statements)),
    executeMultiple: (sql) => guarded(() => raw.executeMultiple(sql)),
    sync: () => guarded(() => raw.sync()),
    transaction: () => Promise.reject(new Error("interactive transactions hold the only connection: use batch()")),
    close: () => raw.close(),
    reconnect: () => raw.reconnect(),
    get closed() {
      return raw.closed;
    },
    get protocol() {
      return raw.protocol;
    },
  };
}

/** synchronous = FULL, because agents delete acknowledged reports: these must survive a power cut here. */
async function prepare(raw: Client): Promise<void> {
  await raw.execute("PRAGMA journal_mode = WAL");
  await raw.execute("PRAGMA synchronous = FULL");
  await raw.execute("PRAGMA foreign_keys = ON");
}

const CLEAN_ERRORS = ["SQLITE_CONSTRAINT", "SQLITE_ERROR", "CLIENT_CLOSED"];

/** A violated constraint or an SQL error ends its statement; any other error may leave it open. */
function leavesConnectionClean(error: unknown): boolean {
  return error instanceof LibsqlError && CLEAN_ERRORS.includes(error.code);
}

import { type Client, createClient, LibsqlError, type ResultSet } from "@libsql/client";
import { drizzle } from "drizzle-orm/libsql";
import { BUSY_PATIENCE_MS, isReadOnly, retryWhileBusy } from "../../db/busy.ts";
import type { Database } from "../../db/transaction.ts";

/**
 * Opens the control plane's database. Nothing is read before the first call.
 * @param url `file:/path`, `libsql://…`, `https://…` or `http://…`
 * @param token for a remote database that asks for one
 * @param patienceMs how long a call waits while others write; then it fails, having changed nothing
 */
export function openDatabase(
  url: string,
  token?: string,
  patienceMs = BUSY_PATIENCE_MS,
): Database & { $client: Client } {
  const raw = createClient({
    url,
    concurrency: url.startsWith("file:") ? 1 : 20,
    ...(token ? { authToken: token } : {}),
  });
  return drizzle(url.startsWith("file:") ? fileClient(raw, patienceMs) : remoteClient(raw, patienceMs));
}

/**
 * One connection, one caller at a time. After SQLITE_BUSY the driver leaves a statement open on its connection: later
 * writes answer "ok" and are lost (libsql-client-ts#352). So every such connection is thrown away before anything
 * else may use it, and its successor gets the pragmas again.
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
    // From now on, not from its turn: behind a long lock everybody fails after the same wait, and no queue grows.
    const deadline = performance.now() + patienceMs;
    const turn = queue.then(() => retryWhileBusy(() => attempt(call), deadline));
    queue = turn.catch(() => undefined);
    return turn;
  };
  return wrapClient(raw, runInOrder);
}

/** A server of its own decides who writes; it too answers SQLITE_BUSY when several do. */
function remoteClient(raw: Client, patienceMs: number): Client {
  return wrapClient(raw, (call) => retryWhileBusy(call, performance.now() + patienceMs));
}

function wrapClient(raw: Client, careful: <T>(call: () => Promise<T>) => Promise<T>): Client {
  return {
    execute: (...statement: unknown[]) =>
      careful(() => Reflect.apply(raw.execute, raw, statement) as Promise<ResultSet>),
    batch: (statements, mode) =>
      careful(() => raw.batch(statements, mode ?? (statements.every(isReadOnly) ? "deferred" : "write"))),
    migrate: (statements) => careful(() => raw.migrate(statements)),
    executeMultiple: (sql) => careful(() => raw.executeMultiple(sql)),
    sync: () => careful(() => raw.sync()),
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

/** FULL: what was acknowledged to an agent is deleted there, so it must survive a power cut here. */
async function prepare(raw: Client): Promise<void> {
  await raw.execute("PRAGMA journal_mode = WAL");
  await raw.execute("PRAGMA synchronous = FULL");
  await raw.execute("PRAGMA foreign_keys = ON");
}

const CLEAN = ["SQLITE_CONSTRAINT", "SQLITE_ERROR", "CLIENT_CLOSED"];

/** A refused row and a mistake in the SQL end their statement; anything else may leave it open. */
function leavesConnectionClean(error: unknown): boolean {
  return error instanceof LibsqlError && CLEAN.includes(error.code);
}

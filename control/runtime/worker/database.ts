import { type Client, createClient, LibsqlError } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import type { Database } from "../../db/transaction.ts";

/** How long a call waits for other requests' writes before it gives up with SQLITE_BUSY. */
const BUSY_PATIENCE_MS = 10_000;

/**
 * A client of the libSQL server for one request: what one request opened, another may not wait for on Workers.
 * @param token of the database; undefined when it asks for none
 */
export function openDatabase(url: string, token: string | undefined): Database {
  return drizzle(retryingClient(createClient({ url, ...(token === undefined ? {} : { authToken: token }) })));
}

/** Asks again while the server says that somebody else writes: then nothing of the call has happened. */
function retryingClient(client: Client): Client {
  return {
    execute: (...call: [never]) => retryWhileBusy(() => client.execute(...call)),
    // A batch that begins as a reader and writes later is refused at once when others write: begin as a writer.
    batch: (statements, mode) =>
      retryWhileBusy(() => client.batch(statements, mode ?? (statements.every(isReadOnly) ? "read" : "write"))),
    migrate: (statements) => retryWhileBusy(() => client.migrate(statements)),
    executeMultiple: (sql) => client.executeMultiple(sql),
    transaction: () =>
      Promise.reject(new Error("a transaction over many requests can be cut in the middle: use batch()")),
    sync: () => client.sync(),
    reconnect: () => client.reconnect(),
    close: () => client.close(),
    get closed() {
      return client.closed;
    },
    get protocol() {
      return client.protocol;
    },
  };
}

async function retryWhileBusy<T>(call: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + BUSY_PATIENCE_MS;
  for (let delay = 20; ; delay = Math.min(delay * 2, 500)) {
    try {
      return await call();
    } catch (error) {
      if (!isBusy(error) || performance.now() + delay > deadline) throw error;
    }
    const jittered = delay * (0.5 + Math.random());
    await new Promise((resolve) => setTimeout(resolve, jittered));
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof LibsqlError && error.code.startsWith("SQLITE_BUSY");
}

function isReadOnly(statement: Parameters<Client["batch"]>[0][number]): boolean {
  const sql = typeof statement === "string" ? statement : Array.isArray(statement) ? statement[0] : statement.sql;
  return /^\s*select\b/i.test(sql);
}

import { type Client, createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import { isReadOnly, retryWhileBusy } from "../../db/busy.ts";
import type { Database } from "../../db/transaction.ts";

/**
 * Opens the libSQL server's database for one request: on Workers, requests can't share I/O.
 * @param token of the database; undefined when it needs none
 */
export function openDatabase(url: string, token: string | undefined): Database {
  return drizzle(retryingClient(createClient({ url, ...(token === undefined ? {} : { authToken: token }) })));
}

/** Retries while the server reports another writer: then the call had no effect. */
function retryingClient(client: Client): Client {
  return {
    execute: (...call: [never]) => retryWhileBusy(() => client.execute(...call)),
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

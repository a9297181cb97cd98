import { type Client, createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import { isReadOnly, retryWhileBusy } from "../../db/busy.ts";
import type { Database } from "../../db/transaction.ts";

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

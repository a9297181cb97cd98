import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { readTextIfExists } from "../../shared/node/files.ts";
import { readMark } from "../keys/marks.ts";
import { migrate } from "../db/migrate.ts";
import type { RowDeps } from "../domain/service/row-protection.ts";
import { databaseFile, readConfig } from "../runtime/node/config.ts";
import { openDatabase } from "../runtime/node/database.ts";
import { lineLog } from "../runtime/node/log.ts";
import { openSigningKey } from "../runtime/node/signing-key.ts";
import type { Terminal } from "./terminal.ts";

/** The database and the signing key of a control plane, without its program. */
export interface Offline {
  readonly deps: RowDeps;
  close(): void;
}

/**
 * Opens the database that the environment names, migrated, with the signing key that its rows' MACs come from.
 * @throws Error when there is no signing key, or it is another one
 */
export async function openOffline(terminal: Terminal): Promise<Offline> {
  const config = readConfig(terminal.env);
  const keyFile = join(config.dataDir, "signing.key");
  // A new key for a server's database would be a key that no running control plane has.
  if (databaseFile(config) === null && config.signingKey === undefined && (await readTextIfExists(keyFile)) === null)
    throw new Error(
      `there is no ${keyFile}: set HOLDFAST_SIGNING_KEY to the key of the control plane that uses ${config.databaseUrl}`,
    );
  const signingKey = await openSigningKey(config.dataDir, config.signingKey);
  const db = openDatabase(config.databaseUrl, config.databaseToken);
  const close = (): void => db.$client.close();
  try {
    await migrate(db);
    if ((await readMark({ db, signingKey }, "rows")).state === "forged")
      throw new Error(
        "the rows of this database belong to another signing key: set HOLDFAST_SIGNING_KEY, or HOLDFAST_DATA, to where it is",
      );
    const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
    return { deps: { db, clock: { now: Date.now }, random, log: lineLog(terminal.err), signingKey }, close };
  } catch (error) {
    close();
    throw error;
  }
}

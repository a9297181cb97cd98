import { sql } from "drizzle-orm";
import { join } from "node:path";
import { createFileAtomically, readTextIfExists } from "../../../shared/node/files.ts";
import { protectRows, type RowDeps } from "../../domain/service/row-protection.ts";

const TEXT =
  "The rows of this control plane's database carry MACs since the time of this file. Without it, a start would take rows without a MAC for those of version 0.2.\n";

/**
 * Gives the rows of a database of version 0.2 their MACs, once. That it was done is recorded in a file beside the
 * signing key, because who can write the database could remove a record there.
 */
export async function protectRowsOnce(deps: RowDeps, dataDir: string): Promise<void> {
  const file = fileOf(dataDir);
  const isFirst = (await readTextIfExists(file)) === null;
  const counts = await protectRows(deps, { mayBegin: isFirst });
  const count = [...(counts?.values() ?? [])].reduce((sum, each) => sum + each, 0);
  if (count > 0) deps.log.info("rows of an older version got their MACs", Object.fromEntries(counts ?? []));
  if ((counts?.get("channels") ?? 0) > 0) await wipeFreePages(deps);
  if (isFirst) await recordRowProtection(dataDir);
}

/** SQLite leaves what was overwritten in its pages and its log: secrets that were in clear are there still. */
async function wipeFreePages({ db, log }: RowDeps): Promise<void> {
  try {
    await db.run(sql`vacuum`);
    await db.run(sql`pragma wal_checkpoint(truncate)`);
  } catch (error) {
    log.error(
      "the secrets of channels are sealed now, but the database may still have them in clear in its free pages",
      {
        error: String(error),
      },
    );
  }
}

/** Records that the rows have MACs. */
export async function recordRowProtection(dataDir: string): Promise<void> {
  await createFileAtomically(fileOf(dataDir), TEXT);
}

function fileOf(dataDir: string): string {
  return join(dataDir, "rows.protected");
}

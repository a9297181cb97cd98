import { asc, eq, gt, sql } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { readMark, setMark } from "../../keys/marks.ts";
import { isAsRead, isGenuine, MAC_TABLES, type MacTable, macOf, type StoredRow } from "../../keys/row-mac.ts";
import { marks } from "../../db/schema/service.ts";
import { resignCheckpoints } from "./audit-chain.ts";
import { resealChannels, sealChannels } from "./channel-sealing.ts";
import { type Database, type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps, SigningKey } from "../../deps.ts";

export type RowDeps = Pick<Deps, "db" | "clock" | "random" | "log" | "signingKey">;

export const MAC_TABLE_NAMES = Object.keys(MAC_TABLES) as MacTable[];
const BATCH_SIZE = 200;

/** Tables whose rows carry a MAC, and `channels`, whose secrets are sealed. */
type ProtectedTable = MacTable | "channels";

/** A row that is not used, because this control plane did not write it as it is. */
export interface TamperedRow {
  readonly table: ProtectedTable;
  readonly id: Id;
}

/**
 * For the first start after the upgrade from 0.2: gives every row that has none a MAC and seals the channels. Then it
 * marks the database, so that this never happens again. Safe to be killed anywhere and started again.
 * @param mayBegin false when it is known from outside the database that its rows have MACs: a mark that is missing was
 *   then removed by somebody, and rows without a MAC stay unused
 * @returns how many rows of each table got one; null when nothing was to do
 * @throws Error when the rows belong to another signing key
 */
export async function protectRows(
  deps: RowDeps,
  { mayBegin }: { mayBegin: boolean },
): Promise<Map<ProtectedTable, number> | null> {
  const mark = await readMark(deps, "rows");
  if (mark.state === "ours") return null;
  if (mark.state === "forged") {
    throw new Error(
      "the database's rows were written with another signing key: put back the one the hosts have pinned (data/signing.key, or HOLDFAST_SIGNING_KEY)",
    );
  }
  const counts = new Map<ProtectedTable, number>();
  if (mayBegin) {
    for (const table of MAC_TABLE_NAMES) counts.set(table, await protectTable(deps, table));
    counts.set("channels", await sealChannels(deps));
  } else deps.log.error("the database lost its mark of protected rows: somebody else wrote into it", {});
  await writeAll(deps.db, await setMark(deps, "rows", { since: instant(deps.clock.now()) }));
  return mayBegin ? counts : null;
}

/** How many rows have no MAC at all, per table; without those that have them all. */
export async function countUnprotected(db: Database): Promise<Map<MacTable, number>> {
  const counts = new Map<MacTable, number>();
  for (const table of MAC_TABLE_NAMES) {
    const count = await db.$count(MAC_TABLES[table], sql`${MAC_TABLES[table].mac} is null`);
    if (count > 0) counts.set(table, count);
  }
  return counts;
}

/** All rows that are not used because of their MAC. */
export async function findTamperedRows(deps: Pick<Deps, "db" | "signingKey">): Promise<TamperedRow[]> {
  const found: TamperedRow[] = [];
  for (const table of MAC_TABLE_NAMES) {
    await forEachRow(deps.db, table, async (row) => {
      if (!(await isGenuine(deps, table, row))) found.push({ table, id: row.id });
      return [];
    });
  }
  return found;
}

/**
 * Gives the row a MAC as it is now: a person decided that its content is right.
 * @returns the row's table. Throws `request.invalid` when there is no such row
 */
export async function acceptRow(deps: Pick<Deps, "db" | "signingKey">, id: Id): Promise<MacTable> {
  for (const table of MAC_TABLE_NAMES) {
    const [row] = await readRows(deps.db, table, { id });
    if (row === undefined) continue;
    await writeAll(deps.db, [await macStatement(deps, table, row)].flat());
    return table;
  }
  throw new Failure("request.invalid", `no table has a row ${id}`);
}

/** What `remakeRows` did, in rows. */
export interface RemadeRows {
  readonly remade: number;
  /** Valid under neither key: they stay as they are, and are not used. */
  readonly tampered: readonly TamperedRow[];
}

/**
 * For a new signing key: makes every MAC again, and seals all channels again. Rows that are valid under the new key
 * already stay, so it can be killed anywhere and started again. Nothing else may write meanwhile.
 */
export async function remakeRows(
  deps: Omit<RowDeps, "signingKey">,
  { from, to }: { from: SigningKey; to: SigningKey },
): Promise<RemadeRows> {
  const [before, after] = [
    { ...deps, signingKey: from },
    { ...deps, signingKey: to },
  ];
  const tampered: TamperedRow[] = [];
  let remade = 0;
  for (const table of MAC_TABLE_NAMES) {
    await forEachRow(deps.db, table, async (row) => {
      if (await isGenuine(after, table, row)) return [];
      if (await isGenuine(before, table, row)) {
        remade++;
        return macStatement(after, table, row);
      }
      tampered.push({ table, id: row.id });
      return [];
    });
  }
  await resignCheckpoints(deps, { from, to });
  const resealed = await resealChannels(before, after);
  // Last, because the mark of the rows says that all belong to the new key.
  for (const { name } of await deps.db.select({ name: marks.name }).from(marks)) {
    const mark = await readMark(before, name);
    if (mark.state === "ours") await writeAll(deps.db, await setMark(after, name, mark.value));
  }
  return { remade: remade + resealed.remade, tampered: [...tampered, ...resealed.tampered] };
}

async function protectTable(deps: Pick<Deps, "db" | "signingKey">, table: MacTable): Promise<number> {
  let count = 0;
  await forEachRow(deps.db, table, async (row) => {
    if (row.mac !== null) return [];
    count++;
    return macStatement(deps, table, row);
  });
  return count;
}

async function macStatement(
  deps: Pick<Deps, "db" | "signingKey">,
  table: MacTable,
  row: StoredRow<MacTable>,
): Promise<Statement[]> {
  const mac = await macOf(deps, table, row);
  return [deps.db.update(MAC_TABLES[table]).set({ mac }).where(isAsRead(table, row))];
}

/** Reads all rows of a table in pages, and writes the statements that `change` returns, a batch per page. */
async function forEachRow(
  db: Database,
  table: MacTable,
  change: (row: StoredRow<MacTable>) => Promise<Statement[]>,
): Promise<void> {
  for (let after: Id = ""; ;) {
    const rows = await readRows(db, table, { after });
    const statements: Statement[] = [];
    for (const row of rows) statements.push(...(await change(row)));
    await writeAll(db, statements);
    const last = rows.at(-1);
    if (last === undefined || rows.length < BATCH_SIZE) return;
    after = last.id;
  }
}

/** A page of a table's rows by id, or the one row of an id. */
export async function readRows(
  db: Database,
  table: MacTable,
  which: { readonly id: Id } | { readonly after: Id },
): Promise<StoredRow<MacTable>[]> {
  const columns = MAC_TABLES[table];
  const where = "id" in which ? eq(columns.id, which.id) : gt(columns.id, which.after);
  return db.select().from(columns).where(where).orderBy(asc(columns.id)).limit(BATCH_SIZE);
}

import { asc, gt, type SQL } from "drizzle-orm";
import { isGenuine, MAC_TABLES, type MacTable, type StoredRow } from "../../keys/row-mac.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, hasOpen, type IncidentRef, isOpenOfKind, openIncident } from "../incidents/incidents.ts";
import { MAC_TABLE_NAMES, readRows } from "./row-protection.ts";

const BATCH_SIZE = 30;
/** Who fills a table with rows must not fill the channels with notifications. */
const MAX_OPEN = 20;

/** SQL: whether an incident control.row is open. */
export function hasRefusedRows(): SQL {
  return hasOpen("control.row");
}

/**
 * Opens an incident for each row that somebody else wrote into the database, and closes it when the row is gone or
 * accepted. Looks at the next 30 rows each time, table by table.
 * @param turn where it begins; null: at the start
 * @param hasOpenRows whether there are such incidents already
 * @returns where the next turn begins
 */
export async function sweepRows(deps: Deps, turn: string | null, hasOpenRows: boolean): Promise<string> {
  const { next, table, rows } = await nextRows(deps, turn);
  const refused: StoredRow<MacTable>[] = [];
  for (const row of rows) if (isInUse(row) && !(await isGenuine(deps, table, row))) refused.push(row);
  if (refused.length > 0 || hasOpenRows) await judgeRows(deps, table, refused);
  return next;
}

async function judgeRows(deps: Deps, table: MacTable, refused: readonly StoredRow<MacTable>[]): Promise<void> {
  const open = await deps.db.select({ detail: incidents.detail }).from(incidents).where(isOpenOfKind("control.row"));
  const statements: Statement[] = [];
  for (const { detail } of open) {
    const [name = "", id = ""] = detail.split(" ");
    const of = MAC_TABLE_NAMES.find((each) => each === name);
    const [row] = of === undefined ? [] : await readRows(deps.db, of, { id });
    if (of !== undefined && row !== undefined && !(await isGenuine(deps, of, row))) continue;
    const message = row === undefined ? "the row is gone" : "the row was accepted";
    const event = { type: "control.row_right" as const, data: { subject: detail, message } };
    statements.push(...closeIncident(deps, refOf(detail), { message, event }));
  }
  const known = new Set(open.map(({ detail }) => detail));
  for (const row of refused) {
    const detail = `${table} ${row.id}`;
    if (known.has(detail) || known.size >= MAX_OPEN) continue;
    known.add(detail);
    const summary = `row ${row.id} of the table ${table} was not written by this control plane, and is not used`;
    const event = { type: "control.row_refused" as const, data: { subject: detail, message: summary } };
    statements.push(...openIncident(deps, refOf(detail), { summary, event }));
  }
  await writeAll(deps.db, statements);
  if (statements.length > 0) deps.wakeOutbox();
}

function refOf(detail: string): IncidentRef {
  return { kind: "control.row", host: null, detail };
}

/** One table per sweep, and of a long one a part: reading all rows every time would cost more the more there are. */
async function nextRows({ db }: Deps, turn: string | null) {
  const [name, after = ""] = (turn ?? "").split(" ");
  const index = Math.max(
    0,
    MAC_TABLE_NAMES.findIndex((each) => each === name),
  );
  const table = MAC_TABLE_NAMES[index] ?? "tokens";
  const columns = MAC_TABLES[table];
  const rows: StoredRow<MacTable>[] = await db
    .select()
    .from(columns)
    .where(gt(columns.id, after))
    .orderBy(asc(columns.id))
    .limit(BATCH_SIZE);
  const last = rows.length < BATCH_SIZE ? undefined : rows.at(-1);
  const following = MAC_TABLE_NAMES[(index + 1) % MAC_TABLE_NAMES.length] ?? "tokens";
  return { table, rows, next: last === undefined ? following : `${table} ${last.id}` };
}

/** A closed order gives no right any more. */
function isInUse(row: StoredRow<MacTable>): boolean {
  return !("closedAt" in row) || row.closedAt === null;
}

import { and, asc, isNull, like } from "drizzle-orm";
import { isGenuine, MAC_TABLES, type MacTable, type StoredRow } from "../../keys/row-mac.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, type IncidentRef, openIncident } from "../incidents/incidents.ts";
import { MAC_TABLE_NAMES, readRows } from "./row-protection.ts";

const BATCH_SIZE = 200;
const SWEEP_MS = 30_000;
/** Who fills a table with rows must not fill the channels with notifications. */
const MAX_OPEN = 20;

/**
 * Opens an incident for each row that somebody else wrote into the database, and closes it when the row is gone or
 * accepted. Looks at the next 200 rows each time, table by table.
 */
export async function sweepRows(deps: Deps): Promise<void> {
  const open = await deps.db
    .select({ detail: incidents.detail })
    .from(incidents)
    .where(and(like(incidents.key, "control.row %"), isNull(incidents.closedAt)));
  const statements: Statement[] = [];
  for (const { detail } of open) {
    const [name = "", id = ""] = detail.split(" ");
    const table = MAC_TABLE_NAMES.find((each) => each === name);
    const [row] = table === undefined ? [] : await readRows(deps.db, table, { id });
    if (table !== undefined && row !== undefined && !(await isGenuine(deps, table, row))) continue;
    const message = row === undefined ? "the row is gone" : "the row was accepted";
    const event = { type: "control.row_right" as const, data: { subject: detail, message } };
    statements.push(...closeIncident(deps, refOf(detail), { message, event }));
  }
  const known = new Set(open.map(({ detail }) => detail));
  const { table, rows } = await nextRows(deps);
  for (const row of rows) {
    const detail = `${table} ${row.id}`;
    if (known.has(detail) || known.size >= MAX_OPEN || (await isGenuine(deps, table, row))) continue;
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
async function nextRows({ db, clock }: Deps): Promise<{ table: MacTable; rows: StoredRow<MacTable>[] }> {
  const turn = Math.floor(clock.now() / SWEEP_MS);
  const table = MAC_TABLE_NAMES[turn % MAC_TABLE_NAMES.length] ?? "tokens";
  const columns = MAC_TABLES[table];
  const isRelevant = table === "orders" ? isNull(MAC_TABLES.orders.closedAt) : undefined;
  const count = await db.$count(columns, isRelevant);
  const part = Math.floor(turn / MAC_TABLE_NAMES.length) % Math.max(1, Math.ceil(count / BATCH_SIZE));
  const rows: StoredRow<MacTable>[] = await db
    .select()
    .from(columns)
    .where(isRelevant)
    .orderBy(asc(columns.id))
    .limit(BATCH_SIZE)
    .offset(part * BATCH_SIZE);
  return { table, rows };
}

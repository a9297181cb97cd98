import { and, eq, isNull, sql } from "drizzle-orm";
import type { DeclarationFault } from "../../../shared/declaration.ts";
import type { Id } from "../../../shared/ids.ts";
import { channels } from "../../db/schema/notifications.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { guard, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import { closeIncident, incidentKey, openIncident, type IncidentRef } from "../incidents/incidents.ts";

interface FaultedHost {
  readonly id: Id;
  readonly name: string;
}

/** The query for the host's open incident. */
export function openRefusal({ db }: Pick<Deps, "db">, host: Id) {
  return db
    .select({ id: incidents.id })
    .from(incidents)
    .where(and(eq(incidents.key, incidentKey(refusal(host))), isNull(incidents.closedAt)));
}

/**
 * Statements that save the faults when they have changed, and keep the host's incident open as long as there are any.
 * None when there is nothing to do.
 */
export function recordFaults(
  deps: Deps,
  host: FaultedHost,
  change: {
    readonly before: readonly DeclarationFault[];
    readonly faults: DeclarationFault[];
    readonly isIncidentOpen: boolean;
  },
): Statement[] {
  const { before, faults, isIncidentOpen } = change;
  const isNew = JSON.stringify(faults) !== JSON.stringify(before);
  const opens = faults.length > 0 && !isIncidentOpen;
  const closes = faults.length === 0 && isIncidentOpen;
  return [
    ...(isNew ? saveFaults(deps, host, { before, faults, isNotified: !opens && !closes }) : []),
    ...(opens ? openRefused(deps, host, faults) : []),
    ...(isNew && faults.length > 0 && isIncidentOpen ? [renewSummary(deps, host, faults)] : []),
    ...(closes ? closeRefused(deps, host) : []),
  ];
}

/**
 * Saves the faults and enqueues host.declaration_faults with the whole list.
 * @param isNotified false: the incident is notified at the same moment, so only channels get this that name it
 */
function saveFaults(
  deps: Deps,
  { id, name }: FaultedHost,
  change: {
    readonly before: readonly DeclarationFault[];
    readonly faults: DeclarationFault[];
    readonly isNotified: boolean;
  },
): Statement[] {
  const { before, faults, isNotified } = change;
  const unchanged = and(eq(hosts.id, id), sql`${hosts.declarationFaults} = ${JSON.stringify(before)}`);
  const asks = isNotified ? sql`1` : sql`${channels.events} is not null`;
  return [
    // Of two concurrent writers only one sends the notification; the other starts again.
    guard(deps.db, sql`exists (select 1 from ${hosts} where ${unchanged})`),
    deps.db.update(hosts).set({ declarationFaults: faults }).where(eq(hosts.id, id)),
    enqueue(
      deps,
      { type: "host.declaration_faults", data: { host: { id, name }, faults }, subject: { host: id } },
      asks,
    ),
  ];
}

function refusal(host: Id): IncidentRef {
  return { kind: "host.declaration_refused", host };
}

/** In an event; a list of a thousand is read in `holdfast status`. */
const SHOWN = 20;

function openRefused(deps: Deps, host: FaultedHost, faults: readonly DeclarationFault[]): Statement[] {
  const data = { host, faults: faults.slice(0, SHOWN), more: Math.max(0, faults.length - SHOWN) };
  return openIncident(deps, refusal(host.id), {
    summary: summaryOf(host, faults),
    event: { type: "host.declaration_refused", data },
  });
}

/** Other files than at first may be the ones that are not in force. */
function renewSummary({ db }: Deps, host: FaultedHost, faults: readonly DeclarationFault[]): Statement {
  return db
    .update(incidents)
    .set({ summary: summaryOf(host, faults) })
    .where(and(eq(incidents.key, incidentKey(refusal(host.id))), isNull(incidents.closedAt)));
}

function closeRefused(deps: Deps, { id, name }: FaultedHost): Statement[] {
  return closeIncident(deps, refusal(id), {
    message: "every file in contracts.d is in force",
    event: { type: "host.declaration_accepted", data: { host: { id, name } } },
  });
}

const LONGEST_SUMMARY = 500;

function summaryOf({ name }: FaultedHost, faults: readonly DeclarationFault[]): string {
  const [first] = faults;
  const files = new Set(faults.map(({ file }) => file)).size;
  const others = files < 2 ? "" : ` (and ${files - 1} more file${files === 2 ? "" : "s"})`;
  const what = first === undefined ? "" : `${first.file}: ${first.message}`.slice(0, LONGEST_SUMMARY);
  return `host "${name}" declares what is not in force: ${what}${others}`;
}

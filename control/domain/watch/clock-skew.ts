import { and, asc, eq, isNull, sql, type SQL } from "drizzle-orm";
import { CLOCK_RIGHT_MS, formatSkew } from "../../../shared/clock-skew.ts";
import { hosts, HAS_WRONG_CLOCK } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeInParts, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, incidentKey, isOpenOfKind, openIncident } from "../incidents/incidents.ts";

/** Hosts of one sweep, of each kind. */
const BATCH_SIZE = 50;

const KIND = "host.clock_wrong";
const isOfHost = sql`${incidents.key} = ${incidentKey({ kind: KIND, host: "" })} || ${hosts.id} and ${incidents.closedAt} is null`;
const isUnknown = sql`${HAS_WRONG_CLOCK} and not exists (select 1 from ${incidents} where ${isOfHost})`;
const isRight = sql`${isOpenOfKind(KIND)} and ${isNull(hosts.revokedAt)} and abs(${hosts.clockSkewMs}) <= ${CLOCK_RIGHT_MS}`;

/** SQL: whether a clock has become wrong or right. */
export function isClockDue(): SQL {
  return sql`(exists (select 1 from ${hosts} indexed by hosts_clock where ${isUnknown})
    or exists (select 1 from ${incidents} cross join ${hosts} where ${hosts.id} = ${incidents.host} and ${isRight}))`;
}

/**
 * Opens and closes host.clock_wrong. A host with a wrong clock runs its schedules at wrong times and removes nothing.
 */
export async function sweepClockSkew(deps: Deps): Promise<void> {
  const columns = { id: hosts.id, name: hosts.name, skewMs: hosts.clockSkewMs };
  const [wrong, right] = await deps.db.batch([
    deps.db.select(columns).from(hosts).where(isUnknown).orderBy(asc(hosts.id)).limit(BATCH_SIZE),
    deps.db
      .select(columns)
      .from(incidents)
      .innerJoin(hosts, eq(hosts.id, incidents.host))
      .where(isRight)
      .limit(BATCH_SIZE),
  ]);
  const statements = [
    ...wrong.map((host) => becomesWrong(deps, host)),
    ...right.map((host) => becomesRight(deps, host)),
  ];
  await writeInParts(deps.db, statements);
  if (statements.length > 0) deps.wakeOutbox();
}

type Host = Pick<typeof hosts.$inferSelect, "id" | "name"> & { readonly skewMs: number | null };

function becomesWrong(deps: Deps, { id, name, skewMs }: Host): Statement[] {
  const host = { id, name };
  const summary = `the clock of host "${name}" is ${formatSkew(skewMs ?? 0)}: old snapshots are not removed until it is correct`;
  const event = { type: "host.clock_wrong" as const, data: { host, skewMs } };
  return openIncident(deps, { kind: KIND, host: id }, { summary, event, when: isStill(id, skewMs) });
}

function becomesRight(deps: Deps, { id, name, skewMs }: Host): Statement[] {
  const event = { type: "host.clock_right" as const, data: { host: { id, name }, skewMs } };
  const end = { message: "the clock is correct again", event, when: isStill(id, skewMs) };
  return closeIncident(deps, { kind: KIND, host: id }, end);
}

function isStill(id: string, skewMs: number | null): SQL {
  return sql`exists (select 1 from ${hosts} where ${and(eq(hosts.id, id), eq(hosts.clockSkewMs, skewMs ?? 0))})`;
}

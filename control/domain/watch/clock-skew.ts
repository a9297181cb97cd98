import { and, eq, isNotNull, isNull, or, sql } from "drizzle-orm";
import { CLOCK_RIGHT_MS, CLOCK_WRONG_MS, formatSkew } from "../../../shared/clock-skew.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, incidentKey, openIncident } from "../incidents/incidents.ts";

const isOfHost = sql`${incidents.key} = ${incidentKey({ kind: "host.clock_wrong", host: "" })} || ${hosts.id} and ${incidents.closedAt} is null`;

/**
 * Opens and closes host.clock_wrong. A host with a wrong clock runs its schedules at wrong times and removes nothing.
 */
export async function sweepClockSkew(deps: Deps): Promise<void> {
  const rows = await deps.db
    .select({ id: hosts.id, name: hosts.name, skewMs: hosts.clockSkewMs, incident: incidents.id })
    .from(hosts)
    .leftJoin(incidents, isOfHost)
    .where(
      and(isNull(hosts.revokedAt), or(sql`abs(${hosts.clockSkewMs}) > ${CLOCK_WRONG_MS}`, isNotNull(incidents.id))),
    );
  for (const { id, name, skewMs, incident } of rows) {
    if (skewMs === null) continue;
    const host = { id, name };
    const when = sql`exists (select 1 from ${hosts} where ${and(eq(hosts.id, id), eq(hosts.clockSkewMs, skewMs))})`;
    const ref = { kind: "host.clock_wrong" as const, host: id };
    if (incident === null) {
      const summary = `the clock of host "${name}" is ${formatSkew(skewMs)}: old snapshots are not removed until it is correct`;
      const event = { type: "host.clock_wrong" as const, data: { host, skewMs } };
      await writeAll(deps.db, openIncident(deps, ref, { summary, event, when }));
    } else if (Math.abs(skewMs) <= CLOCK_RIGHT_MS) {
      const event = { type: "host.clock_right" as const, data: { host, skewMs } };
      await writeAll(deps.db, closeIncident(deps, ref, { message: "the clock is correct again", event, when }));
    } else continue;
    deps.wakeOutbox();
  }
}

import { and, eq, gt, isNull, lt, or, sql } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, incidentKey, openIncident } from "../incidents/incidents.ts";
import { restartGrace } from "../lateness/lateness.ts";
import { lastHeardAt, lastSeenMs } from "../lateness/last-heard.ts";

/**
 * Opens and closes host.offline. Silence counts from when the control plane is up, since it could not receive anything
 * before.
 * @param upSince in milliseconds since 1970
 */
export async function sweepOfflineHosts(deps: Deps, upSince: number): Promise<void> {
  for (const host of await readCandidates(deps)) {
    const limitMs = (host.offlineAfterSeconds ?? Number.POSITIVE_INFINITY) * 1000;
    const seen = lastSeenMs(host) > deps.clock.now() ? 0 : lastSeenMs(host);
    const silentSince = Math.max(seen, (await lastHeardAt(deps, host)) ?? 0, upSince);
    if (host.openedAt !== null) {
      if (
        host.connectionId !== null ||
        lastSeenMs(host) > Date.parse(host.openedAt) ||
        host.offlineAfterSeconds === null
      )
        await closeOffline(deps, host);
    } else if (deps.clock.now() - silentSince >= limitMs) {
      await openOffline(deps, host, silentSince);
    } else if (silentSince > seen && silentSince > upSince) {
      await deps.db
        .update(hosts)
        .set({ lastSeenAt: instant(silentSince) })
        .where(and(eq(hosts.id, host.id), eq(hosts.lastSeenAt, host.lastSeenAt ?? "")));
    }
  }
}

type Host = Awaited<ReturnType<typeof readCandidates>>[number];

const isOffline = sql`${incidents.key} = ${incidentKey({ kind: "host.offline", host: "" })} || ${hosts.id} and ${incidents.closedAt} is null`;

/** Hosts not seen within their limit, and hosts with an open incident host.offline. */
async function readCandidates({ db, clock }: Deps) {
  const now = clock.now();
  const limit = sql`strftime('%Y-%m-%dT%H:%M:%fZ', ${now / 1000} - ${hosts.offlineAfterSeconds}, 'unixepoch')`;
  return await db
    .select({
      id: hosts.id,
      name: hosts.name,
      connectionId: hosts.connectionId,
      lastSeenAt: hosts.lastSeenAt,
      offlineAfterSeconds: hosts.offlineAfterSeconds,
      openedAt: incidents.openedAt,
    })
    .from(hosts)
    .leftJoin(incidents, isOffline)
    .where(
      and(
        isNull(hosts.revokedAt),
        or(
          gt(hosts.lastSeenAt, instant(now)),
          lt(sql`coalesce(${hosts.lastSeenAt}, ${hosts.createdAt})`, limit),
          sql`${incidents.id} is not null`,
        ),
      ),
    );
}

async function openOffline(deps: Deps, host: Host, silentSince: number): Promise<void> {
  const since = instant(silentSince);
  const unchanged = sql`${hosts.id} = ${host.id} and ${hosts.lastSeenAt} is ${host.lastSeenAt} and ${hosts.connectionId} is ${host.connectionId}
    and ${hosts.revokedAt} is null and ${hosts.offlineAfterSeconds} is ${host.offlineAfterSeconds}`;
  await writeAll(deps.db, [
    ...openIncident(
      deps,
      { kind: "host.offline", host: host.id },
      {
        summary: `host "${host.name}" is offline: last contact ${since}`,
        event: { type: "host.offline", data: { host: { id: host.id, name: host.name }, since } },
        when: sql`exists (select 1 from ${hosts} where ${unchanged})`,
      },
    ),
    // Without keepalive a socket may stay open for hours after its network is gone.
    deps.db.update(hosts).set({ connectionId: null, connectedAt: null }).where(unchanged),
  ]);
  if (host.connectionId !== null) await deps.hub.disconnect(host.id, "silent");
  deps.wakeOutbox();
}

async function closeOffline(deps: Deps, host: Host): Promise<void> {
  const since = instant(Math.max(lastSeenMs(host), Date.parse(host.openedAt ?? "")));
  const data = { host: { id: host.id, name: host.name }, offlineSince: host.openedAt, since };
  const isMonitored = host.offlineAfterSeconds !== null;
  await writeAll(deps.db, [
    ...closeIncident(
      deps,
      { kind: "host.offline", host: host.id },
      {
        message: isMonitored ? `host "${host.name}" is online again` : "offline monitoring is turned off for this host",
        event: isMonitored ? { type: "host.online", data } : null,
      },
    ),
    ...(await restartGrace(deps, host.id)),
  ]);
  deps.wakeOutbox();
}

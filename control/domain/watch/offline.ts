import { and, eq, gt, isNull, lt, or, sql } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, keyOf, openIncident } from "../incidents/incidents.ts";
import { graceFromNow } from "../lateness/lateness.ts";
import { heardAt, seenAt } from "../lateness/silence.ts";

/**
 * Tells of the hosts that have been silent for longer than they may, and of those that are back. Silence counts from when we listen:
 * while we were away ourselves nobody could be heard.
 * @param listeningSince in milliseconds since 1970
 */
export async function sweepPresence(deps: Deps, listeningSince: number): Promise<void> {
  for (const host of await readDoubtful(deps)) {
    const limitMs = (host.offlineAfterSeconds ?? Number.POSITIVE_INFINITY) * 1000;
    const seen = seenAt(host) > deps.clock.now() ? 0 : seenAt(host);
    const silentSince = Math.max(seen, (await heardAt(deps, host)) ?? 0, listeningSince);
    if (host.openedAt !== null) {
      if (host.connectionId !== null || seenAt(host) > Date.parse(host.openedAt) || host.offlineAfterSeconds === null)
        await tellOnline(deps, host);
    } else if (deps.clock.now() - silentSince >= limitMs) {
      await tellOffline(deps, host, silentSince);
    } else if (silentSince > seen && silentSince > listeningSince) {
      await deps.db
        .update(hosts)
        .set({ lastSeenAt: instant(silentSince) })
        .where(and(eq(hosts.id, host.id), eq(hosts.lastSeenAt, host.lastSeenAt ?? "")));
    }
  }
}

type Host = Awaited<ReturnType<typeof readDoubtful>>[number];

const isOffline = sql`${incidents.key} = ${keyOf({ kind: "host.offline", host: "" })} || ${hosts.id} and ${incidents.closedAt} is null`;

/** Whoever was not seen for as long as it may be away, and whoever is told to be away. */
async function readDoubtful({ db, clock }: Deps) {
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

async function tellOffline(deps: Deps, host: Host, silentSince: number): Promise<void> {
  const since = instant(silentSince);
  const unchanged = sql`${hosts.id} = ${host.id} and ${hosts.lastSeenAt} is ${host.lastSeenAt} and ${hosts.connectionId} is ${host.connectionId}
    and ${hosts.revokedAt} is null and ${hosts.offlineAfterSeconds} is ${host.offlineAfterSeconds}`;
  await writeAll(deps.db, [
    ...openIncident(
      deps,
      { kind: "host.offline", host: host.id },
      {
        summary: `host "${host.name}" is offline: nothing was heard of it since ${since}`,
        told: { type: "host.offline", data: { host: { id: host.id, name: host.name }, since } },
        when: sql`exists (select 1 from ${hosts} where ${unchanged})`,
      },
    ),
    // A socket whose network died may stay open for hours where nobody looks after it.
    deps.db.update(hosts).set({ connectionId: null, connectedAt: null }).where(unchanged),
  ]);
  if (host.connectionId !== null) await deps.hub.disconnect(host.id, "silent");
  deps.wakeOutbox();
}

async function tellOnline(deps: Deps, host: Host): Promise<void> {
  const since = instant(Math.max(seenAt(host), Date.parse(host.openedAt ?? "")));
  const data = { host: { id: host.id, name: host.name }, offlineSince: host.openedAt, since };
  const isAsked = host.offlineAfterSeconds !== null;
  await writeAll(deps.db, [
    ...closeIncident(
      deps,
      { kind: "host.offline", host: host.id },
      {
        message: isAsked ? `host "${host.name}" is online again` : "it may be silent for as long as it likes",
        told: isAsked ? { type: "host.online", data } : null,
      },
    ),
    ...(await graceFromNow(deps, host.id)),
  ]);
  deps.wakeOutbox();
}

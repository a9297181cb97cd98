import { and, asc, eq, gt, isNull, lte, or, sql, type SQL } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { hosts, IS_BACK, IS_WATCHED } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeInParts, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, incidentKey, openIncident } from "../incidents/incidents.ts";
import { restartGrace } from "../lateness/lateness.ts";
import { hear, lastSeenMs } from "../lateness/last-heard.ts";

/** Hosts of one sweep, of each kind. The others follow in the next ones, the longest silent first. */
const BATCH_SIZE = 50;

/** SQL: whether a host is silent for too long, or there again. */
export function isOfflineDue(now: number): SQL {
  return sql`(exists (select 1 from ${hosts} indexed by hosts_silent where ${isSilentTooLong(now)}) or exists (select 1 from ${hosts} indexed by hosts_seen where ${isAhead(now)})
    or exists (select 1 from ${hosts} indexed by hosts_back where ${IS_BACK}))`;
}

/**
 * Opens and closes host.offline. Silence counts from when the control plane is up, since it could not receive anything
 * before.
 * @param upSince in milliseconds since 1970
 */
export async function sweepOfflineHosts(deps: Deps, upSince: number): Promise<void> {
  const [silent, ahead, back] = await deps.db.batch([
    select(deps)
      .where(and(isSilentTooLong(deps.clock.now()), mayBeOffline(deps, upSince)))
      .orderBy(asc(hosts.silentAt))
      .limit(BATCH_SIZE),
    select(deps).where(isAhead(deps.clock.now())).orderBy(asc(hosts.lastSeenAt)).limit(BATCH_SIZE),
    select(deps).where(IS_BACK).orderBy(asc(hosts.id)).limit(BATCH_SIZE),
  ]);
  await judgeSilent(deps, [...new Map([...silent, ...ahead].map((host) => [host.id, host])).values()], upSince);
  if (back.length > 0) await closeOffline(deps, back);
}

async function judgeSilent(deps: Deps, candidates: readonly Host[], upSince: number): Promise<void> {
  const now = deps.clock.now();
  const heard = await hear(deps, candidates);
  const statements: Statement[][] = [];
  const opened: Host[] = [];
  for (const host of candidates) {
    const at = heard.get(host.id);
    if (at === undefined || host.offlineAfterSeconds === null) continue;
    const seen = lastSeenMs(host) > now ? 0 : lastSeenMs(host);
    const silentSince = Math.max(seen, at ?? 0, upSince);
    if (now - silentSince >= host.offlineAfterSeconds * 1000) {
      statements.push(openOffline(deps, host, silentSince));
      opened.push(host);
    } else if (silentSince > seen && silentSince > upSince) statements.push([recordHeard(deps, host, silentSince)]);
  }
  await writeInParts(deps.db, statements);
  const open = opened.filter(({ id }) => (heard.get(id) ?? null) !== null);
  await Promise.all(open.map(({ id }) => deps.hub.disconnect(id, "silent")));
  if (opened.length > 0) deps.wakeOutbox();
}

type Host = Awaited<ReturnType<typeof select>>[number];

const isOffline = sql`${incidents.key} = ${incidentKey({ kind: "host.offline", host: "" })} || ${hosts.id} and ${incidents.closedAt} is null`;

function select({ db }: Pick<Deps, "db">) {
  return db
    .select({
      id: hosts.id,
      name: hosts.name,
      connectionId: hosts.connectionId,
      lastSeenAt: hosts.lastSeenAt,
      offlineAfterSeconds: hosts.offlineAfterSeconds,
      offlineAt: hosts.offlineAt,
      openedAt: incidents.openedAt,
    })
    .from(hosts)
    .leftJoin(incidents, isOffline);
}

function isSilentTooLong(now: number): SQL | undefined {
  return and(IS_WATCHED, lte(hosts.silentAt, Math.floor(now / 1000)));
}

/** A contact in the future was recorded by a wrong clock, and says nothing about when the host was there. */
function isAhead(now: number): SQL | undefined {
  return and(IS_WATCHED, gt(hosts.lastSeenAt, instant(now)));
}

/** Until the control plane is up for its limit, only a host with a socket can be judged: it is heard or not. */
function mayBeOffline({ clock }: Deps, upSince: number): SQL | undefined {
  const upSeconds = (clock.now() - upSince) / 1000;
  return or(lte(hosts.offlineAfterSeconds, upSeconds), sql`${hosts.connectionId} is not null`);
}

function recordHeard({ db }: Deps, { id, lastSeenAt }: Host, heardAt: number): Statement {
  return db
    .update(hosts)
    .set({ lastSeenAt: instant(heardAt) })
    .where(and(eq(hosts.id, id), eq(hosts.lastSeenAt, lastSeenAt ?? "")));
}

function openOffline(deps: Deps, host: Host, silentSince: number): Statement[] {
  const since = instant(silentSince);
  const unchanged = sql`${hosts.id} = ${host.id} and ${hosts.lastSeenAt} is ${host.lastSeenAt} and ${hosts.connectionId} is ${host.connectionId}
    and ${hosts.revokedAt} is null and ${hosts.offlineAfterSeconds} is ${host.offlineAfterSeconds} and ${hosts.offlineAt} is null`;
  return [
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
    deps.db
      .update(hosts)
      .set({ connectionId: null, connectedAt: null, offlineAt: instant(deps.clock.now()) })
      .where(unchanged),
  ];
}

async function closeOffline(deps: Deps, back: readonly Host[]): Promise<void> {
  const graces = await restartGrace(
    deps,
    back.map(({ id }) => id),
  );
  const isStill = ({ id, offlineAt }: Host) =>
    sql`exists (select 1 from ${hosts} where ${hosts.id} = ${id} and ${hosts.offlineAt} is ${offlineAt})`;
  await writeInParts(
    deps.db,
    back.map((host) => {
      const openedAt = host.openedAt ?? host.offlineAt ?? "";
      const since = instant(Math.max(lastSeenMs(host), Date.parse(openedAt)));
      const data = { host: { id: host.id, name: host.name }, offlineSince: openedAt, since };
      const isMonitored = host.offlineAfterSeconds !== null;
      const closed = closeIncident(
        deps,
        { kind: "host.offline", host: host.id },
        {
          message: isMonitored
            ? `host "${host.name}" is online again`
            : "offline monitoring is turned off for this host",
          event: isMonitored ? { type: "host.online", data } : null,
          when: isStill(host),
        },
      );
      const cleared = deps.db
        .update(hosts)
        .set({ offlineAt: null })
        .where(and(eq(hosts.id, host.id), sql`${hosts.offlineAt} is ${host.offlineAt}`, isNull(hosts.revokedAt)));
      return [...closed, ...(graces.get(host.id) ?? []), cleared];
    }),
  );
  deps.wakeOutbox();
}

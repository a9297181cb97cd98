import { and, desc, eq, sql } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import type { ChangeHost, Host, HostFacts } from "../../../shared/host.ts";
import { Id, instant } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, requireGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, detections, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { channels } from "../../db/schema/notifications.ts";
import { orders } from "../../db/schema/runs.ts";
import { rowCounts } from "../../db/schema/service.ts";
import { guard, withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { deleteApprovals, syncApprovals } from "./approvals.ts";
import { acceptInstance } from "./instances.ts";
import { syncHostTroubles } from "./troubles.ts";
import { closeIncidentsOf } from "../incidents/incidents.ts";
import { scheduleLatenessCheck } from "../lateness/lateness.ts";
import { hasLabel, isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { invalidRequest, notFound, throwIfInUse, throwIfNameTaken, type Dependent } from "../errors.ts";
import { undeclareHost } from "./undeclare.ts";

export type HostRow = typeof hosts.$inferSelect;

export async function listHosts(
  deps: Deps,
  input: ListInput & { name?: string | undefined; label?: string | undefined },
): Promise<Page<Host>> {
  const rows = await deps.db
    .select()
    .from(hosts)
    .where(
      and(
        isPastCursor(hosts.id, input),
        matches(hosts.name, input.name),
        input.label === undefined ? undefined : hasLabel(hosts.labels, input.label),
      ),
    )
    .orderBy(desc(hosts.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toHost);
}

export async function getHost(deps: Deps, id: Id): Promise<Host> {
  return toHost(await findHost(deps, id));
}

/**
 * Changes a host's name, labels or offline limit, or revokes it: its key is then invalid, and its socket is closed at
 * once. Or says which of two machines that use its key it is.
 */
export async function changeHost(deps: Deps, id: Id, change: z.infer<typeof ChangeHost>): Promise<Host> {
  const { accept } = change;
  if (accept !== undefined) await withRetry(async () => acceptInstance(deps, await findHost(deps, id), accept));
  await withRetry(async () => {
    const host = await findHost(deps, id);
    const name = change.name ?? host.name;
    const { labels = host.labels, offlineAfterSeconds = host.offlineAfterSeconds } = change;
    const revokedAt = host.revokedAt ?? (change.revoked === true ? instant(deps.clock.now()) : null);
    const changed = await changeWithMac(deps, "hosts", host, { name, labels, revokedAt, offlineAfterSeconds });
    const write = writeAll(deps.db, [
      guardAsRead(deps, "hosts", host),
      deps.db.update(hosts).set(changed).where(eq(hosts.id, id)),
      ...(change.revoked === true
        ? [
            ...(await undeclareHost(deps, id)),
            deleteApprovals(deps, id),
            closeIncidentsOf(deps, "host", id),
            scheduleLatenessCheck(deps, eq(bindings.host, id)),
          ]
        : []),
    ]);
    await throwIfNameTaken("hosts", name, write);
  });
  if (change.revoked === true) await deps.hub.disconnect(id, "revoked");
  return await getHost(deps, id);
}

/** Deletes a host that has no dependents. Its runs stay as history. */
export async function deleteHost(deps: Deps, id: Id): Promise<void> {
  const host = await findHost(deps, id);
  await withRetry(async () => {
    const dependents = await dependentsOf(deps, id);
    throwIfInUse("hosts", host.name, dependents);
    await writeAll(deps.db, [
      guard(deps.db, sql`not exists (select 1 from ${contracts} where ${contracts.host} = ${id})`),
      guard(deps.db, sql`not exists (select 1 from ${repositories} where ${repositories.host} = ${id})`),
      deps.db.delete(orders).where(eq(orders.host, id)),
      deps.db.delete(detections).where(eq(detections.host, id)),
      deleteApprovals(deps, id),
      deps.db.delete(rowCounts).where(eq(rowCounts.host, id)),
      deps.db.delete(hosts).where(eq(hosts.id, id)),
      closeIncidentsOf(deps, "host", id),
    ]);
  });
  await deps.hub.disconnect(id, "revoked");
}

/** Saves what an agent reports of its host: facts, troubles, and what waits for root there. */
export async function saveFacts(deps: Deps, host: Id, facts: HostFacts): Promise<void> {
  const now = instant(deps.clock.now());
  const follows = and(eq(bindings.host, host), sql`json_extract(${bindings.settings}, '$.zone') is null`);
  const isMoved = sql`(select json_extract(${hosts.facts}, '$.zone') from ${hosts} where ${hosts.id} = ${host}) is not ${facts.zone}`;
  const troubleStatements = await syncHostTroubles(deps, host, facts.troubles);
  const waits = await syncApprovals(deps, host, facts.approvals);
  await writeAll(deps.db, [
    // A new time zone moves the schedules that follow the host's zone.
    deps.db.update(bindings).set({ alertAt: now, expectedSince: now }).where(and(follows, isMoved)),
    deps.db.update(hosts).set({ facts, lastSeenAt: now }).where(eq(hosts.id, host)),
    ...troubleStatements,
    ...waits.statements,
  ]);
  if (troubleStatements.length > 0 || waits.notifies) deps.wakeOutbox();
}

/**
 * Finds the host a request's body names. Throws `request.invalid` when there is none or it is revoked.
 * @param reference id or name
 * @param path of the reference in the body
 */
export async function resolveHost(deps: Deps, reference: string, path: string[]): Promise<HostRow> {
  const column = Id.safeParse(reference).success ? hosts.id : hosts.name;
  const [row] = await deps.db.select().from(hosts).where(eq(column, reference));
  if (row === undefined)
    throw invalidRequest(path, `there is no host "${reference}"; give the id or name of one that is enrolled`);
  await requireGenuine(deps, "hosts", row);
  if (row.revokedAt !== null) throw invalidRequest(path, `host "${row.name}" is revoked; enrol it again first`);
  return row;
}

async function findHost(deps: Deps, id: Id): Promise<HostRow> {
  const [row] = await deps.db.select().from(hosts).where(eq(hosts.id, id));
  if (row === undefined) throw notFound("hosts", id);
  return row;
}

async function dependentsOf(deps: Deps, host: Id): Promise<Dependent[]> {
  const [ownContracts, ownRepositories, relayChannels] = await deps.db.batch([
    deps.db.select({ id: contracts.id, name: contracts.name }).from(contracts).where(eq(contracts.host, host)),
    deps.db
      .select({ id: repositories.id, name: repositories.name })
      .from(repositories)
      .where(eq(repositories.host, host)),
    deps.db.select({ id: channels.id, name: channels.name }).from(channels).where(eq(channels.via, host)),
  ]);
  return [
    ...ownContracts.map((row) => ({ noun: "contracts" as const, ...row })),
    ...ownRepositories.map((row) => ({ noun: "repositories" as const, ...row })),
    ...relayChannels.map((row) => ({ noun: "channels" as const, ...row })),
  ];
}

function toHost(row: HostRow): Host {
  const { id, name, facts, declarationFaults, revision, labels, connectionId, offlineAfterSeconds, clockSkewMs } = row;
  const { connectedAt, lastSeenAt, revokedAt, createdAt, instances } = row;
  const online = connectionId !== null;
  const at = { connectedAt, lastSeenAt, revokedAt, createdAt };
  return {
    id,
    name,
    facts,
    // Faults of a version before 0.2 have no field.
    declarationFaults: declarationFaults.map((fault) => ({ ...fault, field: fault.field ?? null })),
    revision,
    labels,
    online,
    offlineAfterSeconds,
    clockSkewMs,
    instances,
    ...at,
  };
}

import type { Id, Instant } from "../../../shared/ids.ts";
import type { Deps } from "../../deps.ts";

/** An agent without a socket polls about every five minutes. */
const POLL_TIMEOUT_MS = 6 * 60_000;
/** An agent with a socket pings every 30 seconds. */
const PING_TIMEOUT_MS = 2 * 60_000;

export interface Presence {
  readonly id: Id;
  readonly connectionId: Id | null;
  readonly lastSeenAt: Instant | null;
}

/**
 * When these hosts were last heard on their open sockets, in milliseconds since 1970; null: no socket is open. Hosts
 * that are not in it were not asked for, because the hub answers about `mostAsked` at a time: they wait.
 */
export type Heard = ReadonlyMap<Id, number | null>;

/** Asks the hub about all of them at once. */
export async function hear({ hub }: Pick<Deps, "hub">, hosts: readonly Presence[]): Promise<Heard> {
  const connected = [...new Set(hosts.flatMap(({ id, connectionId }) => (connectionId === null ? [] : [id])))];
  const asked = connected.slice(0, hub.mostAsked);
  const heard = asked.length === 0 ? new Map<Id, number>() : await hub.lastHeardAt(asked);
  const unconnected = hosts.flatMap(({ id, connectionId }) => (connectionId === null ? [[id, null] as const] : []));
  return new Map([...unconnected, ...asked.map((id) => [id, heard.get(id) ?? null] as const)]);
}

/** Whether the host is silent now, even if not yet long enough for an incident; null: it was not asked for. */
export function isSilent({ clock }: Pick<Deps, "clock">, host: Presence, heard: Heard): boolean | null {
  const at = heard.get(host.id);
  if (at === undefined) return null;
  return clock.now() - Math.max(lastSeenMs(host), at ?? 0) > (at === null ? POLL_TIMEOUT_MS : PING_TIMEOUT_MS);
}

/** Last recorded contact of the host, in milliseconds since 1970; 0 before the first. */
export function lastSeenMs({ lastSeenAt }: Pick<Presence, "lastSeenAt">): number {
  return lastSeenAt === null ? 0 : Date.parse(lastSeenAt);
}

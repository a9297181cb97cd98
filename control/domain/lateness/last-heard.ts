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

/** Whether the host is silent now, even if not yet long enough for an incident. */
export async function isSilent(deps: Deps, host: Presence): Promise<boolean> {
  const now = deps.clock.now();
  const heard = await lastHeardAt(deps, host);
  return now - Math.max(lastSeenMs(host), heard ?? 0) > (heard === null ? POLL_TIMEOUT_MS : PING_TIMEOUT_MS);
}

/** Last recorded contact of the host, in milliseconds since 1970; 0 before the first. */
export function lastSeenMs({ lastSeenAt }: Pick<Presence, "lastSeenAt">): number {
  return lastSeenAt === null ? 0 : Date.parse(lastSeenAt);
}

/** Time of the last frame on the host's open socket, in milliseconds since 1970; null when none is open. */
export async function lastHeardAt({ hub }: Deps, host: Presence): Promise<number | null> {
  return host.connectionId === null ? null : hub.lastHeardAt(host.id);
}

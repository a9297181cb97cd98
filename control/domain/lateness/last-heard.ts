import type { Id, Instant } from "../../../shared/ids.ts";
import type { Deps } from "../../deps.ts";

/** An agent without a socket asks every five minutes, more or less. */
const POLL_TIMEOUT_MS = 6 * 60_000;
/** One with a socket pings every 30 seconds. */
const PING_TIMEOUT_MS = 2 * 60_000;

export interface Presence {
  readonly id: Id;
  readonly connectionId: Id | null;
  readonly lastSeenAt: Instant | null;
}

/** Whether nothing is heard of the host now, whether or not that is long enough to tell somebody. */
export async function isSilent(deps: Deps, host: Presence): Promise<boolean> {
  const now = deps.clock.now();
  const heard = await lastHeardAt(deps, host);
  return now - Math.max(lastSeenMs(host), heard ?? 0) > (heard === null ? POLL_TIMEOUT_MS : PING_TIMEOUT_MS);
}

/** When it last said something by itself; 0 before it did. */
export function lastSeenMs({ lastSeenAt }: Pick<Presence, "lastSeenAt">): number {
  return lastSeenAt === null ? 0 : Date.parse(lastSeenAt);
}

/** When the socket it has open last gave a sign of life; null when it has none. */
export async function lastHeardAt({ hub }: Deps, host: Presence): Promise<number | null> {
  return host.connectionId === null ? null : hub.lastHeardAt(host.id);
}

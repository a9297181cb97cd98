import type { Id, Instant } from "../../../shared/ids.ts";
import type { Deps } from "../../deps.ts";

/** An agent without a socket asks every five minutes, more or less. */
const ASKS_EVERY_MS = 6 * 60_000;
/** One with a socket pings every 30 seconds. */
const PINGS_WITHIN_MS = 2 * 60_000;

export interface Presence {
  readonly id: Id;
  readonly connectionId: Id | null;
  readonly lastSeenAt: Instant | null;
}

/** Whether nothing is heard of the host now, whether or not that is long enough to tell somebody. */
export async function isSilent(deps: Deps, host: Presence): Promise<boolean> {
  const now = deps.clock.now();
  const heard = await heardAt(deps, host);
  return now - Math.max(seenAt(host), heard ?? 0) > (heard === null ? ASKS_EVERY_MS : PINGS_WITHIN_MS);
}

/** When it last said something by itself; 0 before it did. */
export function seenAt({ lastSeenAt }: Pick<Presence, "lastSeenAt">): number {
  return lastSeenAt === null ? 0 : Date.parse(lastSeenAt);
}

/** When the socket it has open last gave a sign of life; null when it has none. */
export async function heardAt({ hub }: Deps, host: Presence): Promise<number | null> {
  return host.connectionId === null ? null : hub.heardAt(host.id);
}

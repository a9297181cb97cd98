import type { Id } from "../../shared/ids.ts";
import type { CLOSE } from "../../shared/protocol.ts";

/**
 * The connected hosts, whatever holds their sockets. Promises:
 * - a host has at most one connection: the newest wins, the older one is closed with CLOSE.replaced;
 * - the late close of an older connection never takes the newer one away;
 * - nothing here is needed for the truth: every call may be lost, none throws because a host is away.
 */
export interface Hub {
  /** Rings the doorbell: the host pulls now instead of at its next poll. */
  poke(host: Id, pull: "assignment" | "orders"): Promise<void>;
  /** When its open socket last gave a sign of life, in milliseconds since 1970; null when none is open. */
  heardAt(host: Id): Promise<number | null>;
  /** Closes the host's socket at once. */
  disconnect(host: Id, why: keyof typeof CLOSE): Promise<void>;
}

import { networkInterfaces } from "node:os";
import { type DestinationCheck, sendRequest } from "../../../shared/node/outgoing.ts";
import type { Post } from "../../deps.ts";
import { destinationError, type DestinationRules } from "../../notify/destinations.ts";

/**
 * Checks where notifications may be sent (SSRF protection): a channel's URL must not reach what only the control plane
 * can reach.
 * @param port the control plane's own port
 */
export function createDestinationCheck(rules: DestinationRules, port: number | null): DestinationCheck {
  const own = port === null ? null : { port, addresses: ownAddresses };
  return (destination) => destinationError(rules, own, destination);
}

/** Creates the only way to send notifications over HTTP. */
export function createPost(check: DestinationCheck): Post {
  return (request) => sendRequest(request, { check });
}

/** Read every time, because a machine's addresses change. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

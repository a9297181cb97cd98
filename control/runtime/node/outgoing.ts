import { networkInterfaces } from "node:os";
import { type DestinationCheck, sendRequest } from "../../../shared/node/outgoing.ts";
import type { Post } from "../../deps.ts";
import { destinationError, type DestinationRules } from "../../notify/destinations.ts";

/**
 * Says where this process may send notifications: a person who may name a channel's address shall not reach what only the
 * control plane reaches.
 * @param port the one it listens on itself
 */
export function createDestinationCheck(reach: DestinationRules, port: number | null): DestinationCheck {
  const own = port === null ? null : { port, addresses: ownAddresses };
  return (destination) => destinationError(reach, own, destination);
}

/** Makes the one way out for notifications over HTTP. */
export function createPost(judge: DestinationCheck): Post {
  return (request) => sendRequest(request, { check: judge });
}

/** Asked each time: a machine gets and loses addresses while it runs. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

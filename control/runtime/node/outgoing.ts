import { networkInterfaces } from "node:os";
import { type Judge, sendRequest } from "../../../shared/node/outgoing.ts";
import type { Post } from "../../deps.ts";
import { faultOfDestination, type Reach } from "../../notify/reach.ts";

/**
 * Says where this process may send notifications: a person who may name a channel's address shall not reach what only the
 * control plane reaches.
 * @param port the one it listens on itself
 */
export function judgeOf(reach: Reach, port: number | null): Judge {
  const own = port === null ? null : { port, addresses: ownAddresses };
  return (destination) => faultOfDestination(reach, own, destination);
}

/** Makes the one way out for notifications over HTTP. */
export function createPost(judge: Judge): Post {
  return (request) => sendRequest(request, { judge });
}

/** Asked each time: a machine gets and loses addresses while it runs. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

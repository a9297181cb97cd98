import type { IncomingMessage } from "node:http";
import { isInNetworks, kindOfAddress, type Networks } from "../../../shared/address.ts";

/** What the server hands to the app with each request. */
export interface NodeBindings {
  readonly incoming: Pick<IncomingMessage, "socket" | "headers">;
}

/**
 * The address of the client. `X-Forwarded-For` counts only as far as trusted proxies wrote it, since anybody can send
 * one.
 */
export function clientAddress({ incoming }: NodeBindings, proxies: Networks): string | null {
  const peer = incoming.socket.remoteAddress ?? null;
  if (peer === null || !isInNetworks(peer, proxies)) return peer;
  const forwarded = [incoming.headers["x-forwarded-for"] ?? []].flat().flatMap((line) => line.split(","));
  let client = peer;
  for (const text of forwarded.toReversed()) {
    const address = text.trim();
    if (kindOfAddress(address) === null) return client;
    client = address;
    if (!isInNetworks(address, proxies)) return client;
  }
  return client;
}

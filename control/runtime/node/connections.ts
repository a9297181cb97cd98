import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { networkOf } from "../../../shared/address.ts";

/** How long the server waits for a client, and how many it holds. Times in milliseconds. */
export interface ConnectionLimits {
  /** For the headers of a request to arrive, from its first byte or from the connection. */
  readonly headersMs: number;
  /** For a whole request of an authenticated client: what a modem's line needs for a batch of reports. */
  readonly requestMs: number;
  /** For a whole request of anybody else. */
  readonly strangerMs: number;
  /** How often slow clients are looked for. */
  readonly checkMs: number;
  /** Connections of one address on which nobody has authenticated; the oldest makes room for a new one. */
  readonly perAddress: number;
  /** The same, of all addresses. */
  readonly total: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  headersMs: 15_000,
  requestMs: 300_000,
  strangerMs: 30_000,
  checkMs: 5_000,
  perAddress: 100,
  total: 2_000,
};

export interface Connections {
  /** A client has authenticated on this connection: it no longer makes room for others. */
  trust(socket: Socket): void;
}

/**
 * Limits what clients that have not authenticated can hold. Nobody is refused: the oldest idle connection makes room,
 * so that half-sent requests keep no honest client out.
 * @param isProxy whether an address is that of a trusted proxy, whose clients share it
 */
export function limitConnections(
  server: Server,
  limits: ConnectionLimits,
  isProxy: (address: string) => boolean,
): Connections {
  server.headersTimeout = limits.headersMs;
  server.requestTimeout = limits.requestMs;
  /** Oldest first, of each network and of all. */
  const strangers = new Map<string, Set<Socket>>();
  const all = new Set<Socket>();
  const forget = (socket: Socket, network: string): void => {
    all.delete(socket);
    const ofNetwork = strangers.get(network);
    ofNetwork?.delete(socket);
    if (ofNetwork?.size === 0) strangers.delete(network);
  };

  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    const network = networkOf(address);
    const ofNetwork = strangers.get(network) ?? new Set();
    strangers.set(network, ofNetwork.add(socket));
    all.add(socket);
    const limit = isProxy(address) ? limits.total : limits.perAddress;
    if (ofNetwork.size > limit) closeOldest(ofNetwork);
    if (all.size > limits.total) closeOldest(all);
    socket.once("close", () => forget(socket, network));
  });
  server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { socket } = incoming;
    const closeIfSlow = (): void => {
      if (!incoming.complete && all.has(socket)) socket.destroy();
    };
    const timer = setTimeout(closeIfSlow, limits.strangerMs).unref();
    // Refused before its body was there: nobody reads the rest.
    outgoing.once("finish", () => setImmediate(closeIfSlow));
    outgoing.once("close", () => clearTimeout(timer));
  });
  return { trust: (socket) => forget(socket, networkOf(socket.remoteAddress ?? "")) };
}

function closeOldest(sockets: Set<Socket>): void {
  for (const oldest of sockets) {
    sockets.delete(oldest);
    oldest.destroy();
    return;
  }
}

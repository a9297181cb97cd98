import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { ErrorBody } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import { SUBPROTOCOL } from "../../../shared/protocol.ts";
import type { NodeHub } from "./hub.ts";

/** Time for a client to take its refusal. */
const CLOSING_MS = 5_000;

export interface Upgrades {
  /** Handles the server's `upgrade` event. The app decides, and answers when it rejects the request. */
  handle(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Called by the app once the host is authenticated. */
  take(request: Request, host: Id): Response;
}

/** Connects the app, which authenticates an upgrade, with Node's server, which holds the socket. */
export function createUpgrades(
  hub: NodeHub,
  fetch: (request: Request, incoming: IncomingMessage) => Response | Promise<Response>,
): Upgrades {
  const acceptors = new WeakMap<Request, (host: Id) => void>();
  return {
    handle: async (incoming, socket, head) => {
      socket.on("error", () => socket.destroy());
      const request = requestOf(incoming);
      if (request === null) return answer(socket, new Response(null, { status: 400 }));
      let isTaken = false;
      acceptors.set(request, (host) => {
        isTaken = true;
        hub.accept(host, incoming, socket, head);
      });
      const response = await fetch(request, incoming);
      if (!isTaken) await answer(socket, response);
    },
    take: (request, host) => {
      const accept = acceptors.get(request);
      if (accept === undefined || !offered(request).includes(SUBPROTOCOL)) return onlySockets();
      accept(host);
      return new Response(null);
    },
  };
}

function requestOf(incoming: IncomingMessage): Request | null {
  try {
    const headers = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    );
    return new Request(new URL(incoming.url ?? "/", `http://${incoming.headers.host ?? "localhost"}`), { headers });
  } catch {
    return null;
  }
}

function offered(request: Request): string[] {
  return (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
}

function onlySockets(): Response {
  const message = `this address opens a WebSocket with the subprotocol ${SUBPROTOCOL} only`;
  const body: ErrorBody = { error: { code: "request.invalid", message } };
  return Response.json(body, { status: 426, headers: { upgrade: "websocket" } });
}

async function answer(socket: Duplex, response: Response): Promise<void> {
  const body = Buffer.from(await response.arrayBuffer());
  const headers = [...response.headers, ["date", new Date().toUTCString()], ["content-length", String(body.length)]];
  const lines = [
    `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ""}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    "connection: close",
  ];
  // The server's own limits end with the upgrade.
  setTimeout(() => socket.destroy(), CLOSING_MS).unref();
  socket.end(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body]));
}

import type { Hub, Log } from "../../deps.ts";
import type { ErrorBody } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import { SUBPROTOCOL } from "../../../shared/protocol.ts";
import type { HostHub } from "./host-hub.ts";

type Objects = DurableObjectNamespace<HostHub>;

/** The Free plan allows 50 subrequests in one invocation, and a sweep has three steps that ask. */
const MOST_ASKED = 12;

/** The hub over one Durable Object per host, named by the host's id. */
export function openHub(objects: Objects, log: Log): Hub {
  const attempt = async (what: string, host: Id, call: () => Promise<unknown>): Promise<void> => {
    try {
      await call();
    } catch (error) {
      log.error(`could not ${what} a host`, { host, error: String(error) });
    }
  };
  const lastHeardAt = async (host: Id): Promise<number | null> => {
    try {
      return await objects.getByName(host).lastHeardAt();
    } catch (error) {
      log.error("could not read a host's last contact", { host, error: String(error) });
      return null;
    }
  };
  return {
    poke: (host, pull) => attempt("poke", host, () => objects.getByName(host).poke(pull)),
    ask: async (host, { user }) => {
      try {
        return await objects.getByName(host).ask(user);
      } catch (error) {
        log.error("could not ask a host", { host, error: String(error) });
        return null;
      }
    },
    lastHeardAt: async (hosts) => {
      const heard = await Promise.all(hosts.map((host) => lastHeardAt(host)));
      return new Map(heard.flatMap((at, index) => (at === null ? [] : [[hosts[index] ?? "", at] as const])));
    },
    mostAsked: MOST_ASKED,
    disconnect: (host, why) => attempt("disconnect", host, () => objects.getByName(host).disconnect(why)),
  };
}

/** Forwards an upgrade of an authenticated host to its Durable Object. */
export async function openSocket(objects: Objects, host: Id, request: Request): Promise<Response> {
  const offered =
    request.headers
      .get("sec-websocket-protocol")
      ?.split(",")
      .map((name) => name.trim()) ?? [];
  const isSocket = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  if (!isSocket || !offered.includes(SUBPROTOCOL)) return onlySockets();
  return await objects.getByName(host).fetch(new Request(`https://host-hub/${host}`, request));
}

function onlySockets(): Response {
  const message = `this address opens a WebSocket with the subprotocol ${SUBPROTOCOL} only`;
  const body: ErrorBody = { error: { code: "request.invalid", message } };
  return Response.json(body, { status: 426, headers: { upgrade: "websocket" } });
}

import { kindOfAddress } from "../../../shared/address.ts";
import { readRetryAfter } from "../../../shared/outgoing.ts";
import type { Post } from "../../deps.ts";
import { destinationError, type DestinationRules } from "../../notify/destinations.ts";

const GIVE_UP_AFTER_MS = 15_000;

/**
 * Makes the one way out. A redirect is an answer like any other (it could lead anywhere), and the body is thrown away unread.
 * Workers say nothing of where a name leads: only an address that is written as one can be judged here.
 */
export function createPost(reach: DestinationRules): Post {
  return async ({ method, url, headers, body }) => {
    checkLiteralAddress(reach, new URL(url));
    const response = await fetch(url, {
      method,
      headers,
      ...(method === "GET" ? {} : { body }),
      redirect: "manual",
      signal: AbortSignal.timeout(GIVE_UP_AFTER_MS),
    });
    await response.body?.cancel();
    const retryAfterSeconds = readRetryAfter(response.headers.get("retry-after"), Date.now());
    return { status: response.status, retryAfterSeconds };
  };
}

function checkLiteralAddress(reach: DestinationRules, { hostname, port, protocol }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, "");
  if (kindOfAddress(address) === null) return;
  const at = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
  const fault = destinationError(reach, null, { host: address, address, port: at });
  if (fault !== null) throw new Error(fault);
}

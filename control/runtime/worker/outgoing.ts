import { kindOfAddress } from "../../../shared/address.ts";
import { readRetryAfter } from "../../../shared/outgoing.ts";
import type { Post } from "../../deps.ts";
import { destinationError, type DestinationRules } from "../../notify/destinations.ts";

const TIMEOUT_MS = 15_000;

/**
 * Creates the only way to send notifications. Redirects are not followed, because they could lead anywhere; the
 * response body is not read. Workers can't resolve names, so only literal addresses are checked.
 */
export function createPost(rules: DestinationRules): Post {
  return async ({ method, url, headers, body }) => {
    checkLiteralAddress(rules, new URL(url));
    const response = await fetch(url, {
      method,
      headers,
      ...(method === "GET" ? {} : { body }),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    const retryAfterSeconds = readRetryAfter(response.headers.get("retry-after"), Date.now());
    return { status: response.status, retryAfterSeconds };
  };
}

function checkLiteralAddress(rules: DestinationRules, { hostname, port, protocol }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, "");
  if (kindOfAddress(address) === null) return;
  const at = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
  const fault = destinationError(rules, null, { host: address, address, port: at });
  if (fault !== null) throw new Error(fault);
}

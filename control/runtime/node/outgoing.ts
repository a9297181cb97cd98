import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { type OutgoingAnswer, type OutgoingRequest, readRetryAfter } from "../../../shared/outgoing.ts";
import type { Post } from "../../deps.ts";

const GIVE_UP_AFTER_MS = 15_000;
/** What a receiver may say before we hang up; nobody reads it. */
const IGNORED_BYTES = 65_536;

/**
 * Makes the one way out for notifications.
 * @param privateAddresses `refuse` keeps a person who may name a webhook's address from reaching the control plane's own
 *   network. The address is checked where the connection is made, so a name cannot change its mind in between.
 */
export function createPost(privateAddresses: "allow" | "refuse"): Post {
  return async (request) => {
    const refuse = privateAddresses === "refuse";
    if (refuse) refusePrivateLiteral(new URL(request.url).hostname);
    return await send(request, refuse ? publicLookup : undefined);
  };
}

function send(
  { method, url, headers, body }: OutgoingRequest,
  lookup: LookupFunction | undefined,
): Promise<OutgoingAnswer> {
  const target = new URL(url);
  const request = target.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const outgoing = request(target, {
      method,
      headers: method === "GET" ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) },
      agent: false,
      ...(lookup === undefined ? {} : { lookup }),
    });
    const deadline = setTimeout(() => outgoing.destroy(new Error("no answer within 15 s")), GIVE_UP_AFTER_MS);
    outgoing.once("close", () => clearTimeout(deadline));
    outgoing.once("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(error.message || error.code || "no connection")),
    );
    outgoing.once("response", (response) => {
      let ignored = 0;
      response.on("data", (chunk: Buffer) => {
        ignored += chunk.length;
        if (ignored > IGNORED_BYTES) response.destroy();
      });
      response.on("error", () => undefined);
      resolve({
        status: response.statusCode ?? 0,
        retryAfterSeconds: readRetryAfter(response.headers["retry-after"], Date.now()),
      });
    });
    outgoing.end(method === "GET" ? undefined : body);
  });
}

const privateRanges = new BlockList();
for (const range of [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
  "::/127",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "2002::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
]) {
  const [network = "", prefix] = range.split("/");
  privateRanges.addSubnet(network, Number(prefix), network.includes(":") ? "ipv6" : "ipv4");
}

/** An address written as a number is never looked up, so it is checked before. */
export function refusePrivateLiteral(hostname: string): void {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0 && isPrivate(host)) throw new Error(refusal(hostname, host));
}

function isPrivate(address: string): boolean {
  return privateRanges.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

function refusal(host: string, address: string): string {
  return `${host} is in a private address range (${address}), which HOLDFAST_WEBHOOK_PRIVATE=refuse forbids`;
}

export const publicLookup: LookupFunction = (hostname, options: LookupOptions, done) => {
  dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    const inside = error === null ? addresses.find(({ address }) => isPrivate(address)) : undefined;
    const first = addresses?.[0];
    if (error !== null) done(error, "");
    else if (inside !== undefined) done(new Error(refusal(hostname, inside.address)), "");
    else if (options.all === true) done(null, addresses);
    else done(null, first?.address ?? "", first?.family);
  });
};

import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { type OutgoingAnswer, type OutgoingRequest, readRetryAfter } from "../outgoing.ts";

/** The destination of a connection. */
export interface Destination {
  /** As written, in lower case, without brackets and without a trailing dot. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

/** @returns why nothing may be sent there; null when it may */
export type DestinationCheck = (destination: Destination) => string | null;

/** How names are resolved. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

interface Limits {
  readonly check: DestinationCheck;
  /** Time limit for the whole exchange. */
  readonly withinMs?: number;
  readonly resolve?: Resolve;
}

export const GIVE_UP_AFTER_MS = 15_000;
/** How much of an answer is read before the connection is closed; nobody uses it. */
const IGNORED_BYTES = 65_536;

/**
 * Sends one request and returns the status of the answer. Never follows a redirect, keeps no body. The address is
 * checked when the connection is made, so that a name can't resolve to another one in between.
 */
export function sendRequest(
  { method, url, headers, body }: OutgoingRequest,
  { check: judge, withinMs = GIVE_UP_AFTER_MS, resolve = dnsLookup }: Limits,
): Promise<OutgoingAnswer> {
  const target = new URL(url);
  const isSecure = target.protocol === "https:";
  const port = target.port === "" ? (isSecure ? 443 : 80) : Number(target.port);
  return new Promise((answer, reject) => {
    checkLiteralAddress(judge, target.hostname, port);
    const outgoing = (isSecure ? httpsRequest : httpRequest)(target, {
      method,
      headers: method === "GET" ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) },
      agent: false,
      lookup: checkedLookup(judge, port, resolve),
    });
    const deadline = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${Math.ceil(withinMs / 1000)} s`)),
      withinMs,
    );
    outgoing.once("close", () => clearTimeout(deadline));
    outgoing.on("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(error.message || error.code || "no connection")),
    );
    outgoing.once("response", (response) => {
      let ignored = 0;
      response.on("data", (chunk: Buffer) => {
        ignored += chunk.length;
        if (ignored > IGNORED_BYTES) response.destroy();
      });
      response.on("error", () => undefined);
      const retryAfterSeconds = readRetryAfter(response.headers["retry-after"], Date.now());
      answer({ status: response.statusCode ?? 0, retryAfterSeconds });
    });
    outgoing.end(method === "GET" ? undefined : body);
  });
}

/** An address written as a number is never looked up, so it is checked before. Throws an Error with the reason. */
export function checkLiteralAddress(judge: DestinationCheck, hostname: string, port: number): void {
  const host = plainHost(hostname);
  const fault = isIP(host) === 0 ? null : judge({ host, address: host, port });
  if (fault !== null) throw new Error(fault);
}

/** Resolves a name for the connection, and rejects it when any of its addresses is rejected. */
export function checkedLookup(judge: DestinationCheck, port: number, resolve: Resolve = dnsLookup): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, "");
      const host = plainHost(hostname);
      for (const { address } of addresses) {
        const fault = judge({ host, address, port });
        if (fault !== null) return done(new Error(fault), "");
      }
      const [first] = addresses;
      if (first === undefined) return done(new Error(`${host} has no address`), "");
      if (options.all === true) return done(null, addresses);
      done(null, first.address, first.family);
    });
  };
}

function plainHost(hostname: string): string {
  return hostname.toLowerCase().replace(/^\[|\]$|\.$/g, "");
}

import { kindOfAddress } from "../../shared/address.ts";
import { type DestinationCheck, sendRequest } from "../../shared/node/outgoing.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../../shared/outgoing.ts";
import type { Paths } from "../config.ts";
import { asksOfOutgoing } from "./asks.ts";
import { grantedKeys } from "./grants.ts";
import { loadPolicy, type Policy } from "./policy.ts";
import { askRoot } from "./waiting.ts";

interface OutgoingDeps {
  readonly paths: Pick<Paths, "policyJson" | "grantsFile" | "waitingFile" | "locksDir">;
  readonly clock: { now(): number };
}

/**
 * Sends one request if the host's policy or root's grant allows its destination. What waits for root is noted.
 * @param bindings names of the bindings that want it
 * @param withinMs time limit for the whole exchange
 * @throws an Error with the reason
 */
export async function sendAllowed(
  deps: OutgoingDeps,
  request: OutgoingRequest,
  { bindings = [], withinMs }: { bindings?: readonly string[]; withinMs?: number } = {},
): Promise<OutgoingAnswer> {
  const policy = await loadPolicy(deps.paths);
  const { origin } = new URL(request.url);
  const asks = policy.fault === null ? asksOfOutgoing(policy, request.url) : [];
  const granted = await grantedKeys(deps.paths);
  const waiting = asks.filter(({ key }) => !granted.has(key));
  if (waiting.length > 0) {
    await askRoot(deps, waiting, { bindings });
    throw new Error(`sending to ${origin} waits for root on this host: holdfast-agent approve shows it`);
  }
  const check = asks.length > 0 ? (): null => null : destinationCheckFor(policy, origin);
  return await sendRequest(request, { check, ...(withinMs === undefined ? {} : { withinMs }) });
}

/** Sends one request that root's own file on this host declares, to any destination. */
export async function sendDeclared(request: OutgoingRequest, withinMs?: number): Promise<OutgoingAnswer> {
  return await sendRequest(request, { check: () => null, ...(withinMs === undefined ? {} : { withinMs }) });
}

function destinationCheckFor({ outgoing, fault }: Policy, origin: string): DestinationCheck {
  if (fault !== null) throw new Error(fault);
  if (outgoing === "off") throw new Error("the host's policy forbids outgoing requests (outgoing is off)");
  if (outgoing === "public" || outgoing === null) return allowPublicOnly;
  if (outgoing.includes(origin)) return () => null;
  throw new Error(`the host's policy does not let anything be sent to ${origin}`);
}

const allowPublicOnly: DestinationCheck = ({ host, address }) => {
  if (kindOfAddress(address) === "public") return null;
  const where = host === address ? address : `${host} (${address})`;
  return `${where} is a private address: the host's policy has to name its origin in outgoing`;
};

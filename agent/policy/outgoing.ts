import { kindOfAddress } from "../../shared/address.ts";
import { type DestinationCheck, sendRequest } from "../../shared/node/outgoing.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../../shared/outgoing.ts";
import type { Policy } from "./policy.ts";

/**
 * Sends one request if the policy allows its destination.
 * @param withinMs time limit for the whole exchange
 * @throws an Error with the reason
 */
export async function sendAllowed(
  policy: Pick<Policy, "outgoing" | "fault">,
  request: OutgoingRequest,
  withinMs?: number,
): Promise<OutgoingAnswer> {
  const check = destinationCheckFor(policy, request.url);
  return await sendRequest(request, { check, ...(withinMs === undefined ? {} : { withinMs }) });
}

/** Sends one request that root's own file on this host declares, to any destination. */
export async function sendDeclared(request: OutgoingRequest, withinMs?: number): Promise<OutgoingAnswer> {
  return await sendRequest(request, { check: () => null, ...(withinMs === undefined ? {} : { withinMs }) });
}

function destinationCheckFor({ outgoing, fault }: Pick<Policy, "outgoing" | "fault">, url: string): DestinationCheck {
  const { origin } = new URL(url);
  if (fault !== null) throw new Error(fault);
  if (outgoing === "off") throw new Error("the host's policy forbids outgoing requests (outgoing is off)");
  if (outgoing === "public") return allowPublicOnly;
  if (outgoing.includes(origin)) return () => null;
  throw new Error(`the host's policy does not let anything be sent to ${origin}`);
}

const allowPublicOnly: DestinationCheck = ({ host, address }) => {
  if (kindOfAddress(address) === "public") return null;
  const where = host === address ? address : `${host} (${address})`;
  return `${where} is a private address: the host's policy has to name its origin in outgoing`;
};

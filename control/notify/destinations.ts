import { isLocalAddress, isNearAddress, isSameAddress, kindOfAddress } from "../../shared/address.ts";

/**
 * The value of HOLDFAST_WEBHOOK_PRIVATE: which private addresses notifications may go to (`lan`: all but this machine's
 * own and link-local ones), and the exceptions.
 */
export interface DestinationRules {
  readonly private: "lan" | "allow" | "refuse";
  /** Host names as written in channels, and addresses. Always allowed. */
  readonly exceptions: readonly string[];
}

/** Where the control plane itself listens. */
export interface OwnEndpoint {
  readonly port: number;
  /** The machine's own addresses, without the loopback ones. */
  readonly addresses: () => readonly string[];
}

/**
 * @param text `lan`, `allow` or `refuse`, then names and addresses, comma-separated
 * @returns null when it is invalid
 */
export function parseDestinationRules(text: string): DestinationRules | null {
  const [policy, ...named] = text
    .toLowerCase()
    .split(",")
    .map((word) => word.trim());
  if (policy !== "lan" && policy !== "allow" && policy !== "refuse") return null;
  if (named.some((word) => !/^[a-z0-9._:-]{1,253}$/.test(word))) return null;
  return { private: policy, exceptions: named };
}

/** @returns why nothing may be sent to this address; null when it is allowed */
export function destinationError(
  { private: policy, exceptions: named }: DestinationRules,
  own: OwnEndpoint | null,
  { host, address, port }: { host: string; address: string; port: number },
): string | null {
  if (named.some((one) => one === host || isSameAddress(one, address))) return null;
  const kind = kindOfAddress(address);
  const where = host === address ? address : `${host} (${address})`;
  const unless = `unless HOLDFAST_WEBHOOK_PRIVATE names ${host}`;
  if (kind === "metadata") return `${where} is a cloud metadata address: nothing is sent there, ${unless}`;
  if (own !== null && port === own.port && isOwnEndpoint(own, address))
    return `${where} is the control plane itself: nothing is sent there, ${unless}`;
  if (policy === "lan" && isNearAddress(address))
    return `${where} is an address of this machine or link-local: nothing is sent there by default, ${unless}`;
  if (policy === "refuse" && kind !== "public")
    return `${where} is in a private address range, which HOLDFAST_WEBHOOK_PRIVATE=refuse forbids, ${unless}`;
  return null;
}

function isOwnEndpoint(own: OwnEndpoint, address: string): boolean {
  return isLocalAddress(address) || own.addresses().some((one) => isSameAddress(one, address));
}

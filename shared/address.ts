import ipaddr from "ipaddr.js";

/**
 * Where an address leads: the public internet, a private network, or a cloud's metadata service with the machine's
 * secrets.
 */
export type AddressKind = "public" | "private" | "metadata";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * @param text an address as written by a resolver or `URL.hostname`, without brackets
 * @returns null when it is no address
 */
export function kindOfAddress(text: string): AddressKind | null {
  const address = innerAddress(text);
  if (address === null) return null;
  if (isIn(address, METADATA)) return "metadata";
  return isIn(address, PRIVATE) ? "private" : "public";
}

/** Whether two texts are the same address, however they are written. */
export function isSameAddress(one: string, other: string): boolean {
  const [left, right] = [innerAddress(one), innerAddress(other)];
  return left !== null && right !== null && left.toByteArray().join(".") === right.toByteArray().join(".");
}

/** Whether only programs on this machine can be reached at it. */
export function isLocalAddress(text: string): boolean {
  const address = innerAddress(text);
  return address !== null && isIn(address, LOCAL);
}

/** Whether it is on this machine or on the same cable: loopback, unspecified or link-local. */
export function isNearAddress(text: string): boolean {
  const address = innerAddress(text);
  return address !== null && (isIn(address, LOCAL) || isIn(address, LINK_LOCAL));
}

/** What one client has: an IPv4 address, or the first 64 bits of an IPv6 one, which are given out whole. */
export function networkOf(text: string): string {
  const address = innerAddress(text);
  if (address === null || address.kind() === "ipv4") return address?.toString() ?? text;
  return ipaddr.fromByteArray([...address.toByteArray().slice(0, 8), ...Array<number>(8).fill(0)]).toString();
}

/** Addresses and ranges of them. */
export type Networks = readonly Range[];

/** @param text addresses and ranges like `10.0.0.0/8`, comma-separated. @returns null when one of them is neither */
export function parseNetworks(text: string): Networks | null {
  const parsed = text.split(",").map((word): Range | null => {
    const [address = "", bits] = word.trim().split("/");
    const first = innerAddress(address);
    if (first === null || !/^\d{1,3}$/.test(bits ?? "0")) return null;
    const all = first.kind() === "ipv4" ? 32 : 128;
    return bits === undefined ? [first, all] : Number(bits) > all ? null : [first, Number(bits)];
  });
  const networks = parsed.filter((range) => range !== null);
  return networks.length === parsed.length ? networks : null;
}

export function isInNetworks(text: string, networks: Networks): boolean {
  const address = innerAddress(text);
  return address !== null && isIn(address, networks);
}

/** An IPv6 form of an IPv4 address counts as that address: mapped, translated, and NAT64. */
function innerAddress(text: string): Address | null {
  const address = parse(text);
  if (address === null || address.kind() === "ipv4") return address;
  return isIn(address, IPV4_INSIDE) ? ipaddr.fromByteArray(address.toByteArray().slice(12)) : address;
}

function parse(text: string): Address | null {
  const [, head = "", tail = ""] = /^(.*:)?([^:]*)$/.exec(text) ?? [];
  // Only as resolvers and URL write it: ipaddr.js also takes octets in octal and in hex.
  if (tail.includes(".") && !ipaddr.IPv4.isValidFourPartDecimal(tail.replace(/%.*/, ""))) return null;
  if (head === "") return tail.includes(".") && !tail.includes("%") ? ipaddr.IPv4.parse(tail) : null;
  // `::10.0.0.1` is IPv4-compatible, and no mapped address, which ipaddr.js takes it for.
  const written = head === "::" && tail.includes(".") ? `0::${tail}` : text;
  return ipaddr.IPv6.isValid(written) ? ipaddr.IPv6.parse(written) : null;
}

type Range = [Address, number];

function isIn(address: Address, ranges: Networks): boolean {
  return ranges.some((range) => range[0].kind() === address.kind() && address.match(range));
}

function ranges(...texts: string[]): Range[] {
  return texts.map((text) => ipaddr.parseCIDR(text));
}

/** Mapped, translated, NAT64. */
const IPV4_INSIDE = ranges("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96");
const LOCAL = ranges("0.0.0.0/8", "127.0.0.0/8", "::/127");
const LINK_LOCAL = ranges("169.254.0.0/16", "fe80::/10");
/** AWS, Azure, Google and most others; ECS; Alibaba; Azure's wire server; AWS over IPv6. */
const METADATA = ranges(
  "169.254.169.254/32",
  "169.254.170.2/32",
  "100.100.100.200/32",
  "168.63.129.16/32",
  "fd00:ec2::254/128",
);
const PRIVATE = ranges(
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
  // Formerly IPv4 addresses, or tunnels that may end anywhere.
  "::/96",
  "64:ff9b:1::/48",
  "2001::/32",
  "2002::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
);

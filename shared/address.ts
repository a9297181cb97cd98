/**
 * Where an address leads: the public internet, a private network, or a cloud's metadata service with the machine's
 * secrets.
 */
export type AddressKind = "public" | "private" | "metadata";

/**
 * @param text an address as written by a resolver or `URL.hostname`, without brackets
 * @returns null when it is no address
 */
export function kindOfAddress(text: string): AddressKind | null {
  const bytes = innerAddress(text);
  if (bytes === null) return null;
  if (METADATA.some((range) => isIn(bytes, range))) return "metadata";
  return PRIVATE.some((range) => isIn(bytes, range)) ? "private" : "public";
}

/** Whether two texts are the same address, however they are written. */
export function isSameAddress(one: string, other: string): boolean {
  const [left, right] = [innerAddress(one), innerAddress(other)];
  return left !== null && right !== null && left.join(".") === right.join(".");
}

/** Whether only programs on this machine can be reached at it. */
export function isLocalAddress(text: string): boolean {
  const bytes = innerAddress(text);
  return bytes !== null && LOCAL.some((range) => isIn(bytes, range));
}

type Bytes = readonly number[];
interface Range {
  readonly network: Bytes;
  readonly bits: number;
}

/** An IPv6 form of an IPv4 address counts as that address: mapped, translated, and NAT64. */
function innerAddress(text: string): Bytes | null {
  const bytes = bytesOf(text);
  if (bytes === null) return null;
  return bytes.length === 16 && [MAPPED, TRANSLATED, NAT64].some((range) => isIn(bytes, range))
    ? bytes.slice(12)
    : bytes;
}

function bytesOf(text: string): Bytes | null {
  if (!text.includes(":")) return v4(text);
  const [address = ""] = text.split("%");
  const tail = /[^:]*$/.exec(address)?.[0] ?? "";
  const last = tail.includes(".") ? v4(tail) : null;
  if (tail.includes(".") && last === null) return null;
  const head = last === null ? address : address.slice(0, -tail.length).replace(/([^:]):$/, "$1");
  const halves = head.split("::");
  if (halves.length > 2) return null;
  const [front = [], back = []] = halves.map((half) => half.split(":").filter((group) => group !== ""));
  const groups = [...front, ...back];
  if (groups.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return null;
  const missing = 16 - (last?.length ?? 0) - groups.length * 2;
  if (missing < 0 || (halves.length === 1 && missing !== 0)) return null;
  return [...front.flatMap(pair), ...Array.from({ length: missing }, () => 0), ...back.flatMap(pair), ...(last ?? [])];
}

function v4(text: string): Bytes | null {
  const parts = text.split(".");
  const isAddress = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return isAddress ? parts.map(Number) : null;
}

function pair(group: string): number[] {
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 255];
}

function isIn(bytes: Bytes, { network, bits }: Range): boolean {
  if (bytes.length !== network.length) return false;
  return bytes.every((byte, index) => {
    const left = Math.min(Math.max(bits - index * 8, 0), 8);
    const mask = (0xff << (8 - left)) & 0xff;
    return (byte & mask) === ((network[index] ?? 0) & mask);
  });
}

function range(text: string): Range {
  const [network = "", bits] = text.split("/");
  const bytes = bytesOf(network) ?? [];
  return { network: bytes, bits: bits === undefined ? bytes.length * 8 : Number(bits) };
}

const MAPPED = range("::ffff:0:0/96");
const TRANSLATED = range("::ffff:0:0:0/96");
const NAT64 = range("64:ff9b::/96");
const LOCAL = ["0.0.0.0/8", "127.0.0.0/8", "::/127"].map(range);
/** AWS, Azure, Google and most others; ECS; Alibaba; Azure's wire server; AWS over IPv6. */
const METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"].map(range);
const PRIVATE = [
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
].map(range);

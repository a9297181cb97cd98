/** How one secret may be written: as it is, in hexadecimal, and in base64 wherever it begins in a longer text. */
export function formsOf(secret: string | Buffer): Buffer[] {
  const bytes = Buffer.from(secret as string);
  const hex = bytes.toString("hex");
  const coded = [0, 1, 2].flatMap((offset) => {
    // The first and the last characters hang on what is around it.
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    const inner = text.slice(Math.ceil((offset * 4) / 3), Math.floor(((offset + bytes.length) * 4) / 3));
    return [inner, inner.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [bytes, ...[hex, hex.toUpperCase(), ...coded].map((text) => Buffer.from(text))];
}

/**
 * What stays of bytes that were masked with four bytes in turn, as a socket's frames are (RFC 6455): the difference of
 * each byte and the fourth after it.
 */
export function unmaskable(bytes: Buffer): Buffer {
  const differences = Buffer.alloc(Math.max(0, bytes.length - 4));
  for (let at = 0; at < differences.length; at++) differences[at] = (bytes[at] ?? 0) ^ (bytes[at + 4] ?? 0);
  return differences;
}

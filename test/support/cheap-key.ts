import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from "node:crypto";
import { chown, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

export const KeyFile = z.looseObject({ N: z.int(), r: z.int(), p: z.int(), salt: z.string(), data: z.string() });

/**
 * Writes a restic repository's only key anew, so that opening it costs next to nothing: half a second of every call is
 * spent on making guesses at the passphrase dear, and a test's passphrase is worth none. restic itself notices no
 * difference.
 * @param repository a directory. @param passphrase as restic is given it
 */
export async function cheapenKey(repository: string, passphrase: string): Promise<void> {
  const keys = join(repository, "keys");
  const [name = ""] = await readdir(keys);
  const { uid, gid } = await stat(join(keys, name));
  const old = KeyFile.parse(JSON.parse(await readFile(join(keys, name), "utf8")));
  const sealed = Buffer.from(old.data, "base64");
  const { encrypt } = derive(passphrase, old);
  const opened = createDecipheriv("aes-256-ctr", encrypt, sealed.subarray(0, 16));
  const master = opened.update(sealed.subarray(16, -16));

  const cheap = { ...old, N: 2, r: 1, p: 1 };
  const { encrypt: newEncrypt, mac } = derive(passphrase, cheap);
  const nonce = randomBytes(16);
  const text = createCipheriv("aes-256-ctr", newEncrypt, nonce).update(master);
  const data = Buffer.concat([nonce, text, authenticate(text, nonce, mac)]).toString("base64");
  const file = JSON.stringify({ ...cheap, data });
  const path = join(keys, createHash("sha256").update(file).digest("hex"));
  await writeFile(path, file, { mode: 0o600 });
  await chown(path, uid, gid);
  await rm(join(keys, name));
}

export function derive(
  passphrase: string,
  { N, r, p, salt }: z.infer<typeof KeyFile>,
): { encrypt: Buffer; mac: Buffer } {
  const options = { N, r, p, maxmem: 256 * 1024 * 1024 };
  const derived = scryptSync(passphrase, Buffer.from(salt, "base64"), 64, options);
  return { encrypt: derived.subarray(0, 32), mac: derived.subarray(32) };
}

/** Poly1305-AES. @param key the AES key, then the polynomial's */
export function authenticate(message: Buffer, nonce: Buffer, key: Buffer): Buffer {
  const pad = createCipheriv("aes-128-ecb", key.subarray(0, 16), null).setAutoPadding(false).update(nonce);
  const r = number(key.subarray(16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const prime = (1n << 130n) - 5n;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = Buffer.concat([message.subarray(at, at + 16), Buffer.of(1)]);
    sum = ((sum + number(block)) * r) % prime;
  }
  const tag = (sum + number(pad)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse();
}

/** Little-endian. */
function number(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

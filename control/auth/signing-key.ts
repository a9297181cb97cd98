import { base64url } from "jose";
import type { SigningKey } from "../deps.ts";

/**
 * @param text an Ed25519 private key as PKCS #8 in base64url
 * @param source where it is kept, for the error
 * @throws Error that names `source` and the expected format, never the content
 */
export async function readSigningKey(text: string, source: string): Promise<SigningKey> {
  const privateKey = await importKey(text, source);
  const { x: publicKey } = await crypto.subtle.exportKey("jwk", privateKey);
  if (publicKey === undefined) throw new Error("this runtime gives no public half of an Ed25519 key");
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(base64url.decode(publicKey)));
  return { publicKey, fingerprint: base64url.encode(new Uint8Array(digest)), privateKey };
}

async function importKey(text: string, source: string): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey("pkcs8", new Uint8Array(base64url.decode(text.trim())), "Ed25519", true, [
      "sign",
    ]);
  } catch {
    throw new Error(
      `${source} is not an Ed25519 private key (PKCS #8 in base64url): put back the one the hosts have pinned`,
    );
  }
}

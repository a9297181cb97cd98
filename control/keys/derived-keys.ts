import { base64url } from "jose";
import type { SigningKey } from "../deps.ts";

/** What each derived key is for. A changed text makes another key, so these never change. */
const PURPOSES = {
  /** HMAC-SHA-256 over rows of the database. */
  rows: "holdfast rows v1",
  /** AES-256-GCM over the channels' secrets. */
  secrets: "holdfast channel secrets v1",
} as const;

/** By private key, because the Deps of a Worker are made for every request. */
const known: Record<keyof typeof PURPOSES, WeakMap<CryptoKey, Promise<CryptoKey>>> = {
  rows: new WeakMap(),
  secrets: new WeakMap(),
};

/**
 * A key that only who has the signing key can make: by HKDF-SHA-256 (RFC 5869) from the Ed25519 seed, which is kept
 * outside the database.
 */
export async function derivedKey({ privateKey }: SigningKey, purpose: keyof typeof PURPOSES): Promise<CryptoKey> {
  const made = known[purpose].get(privateKey) ?? derive(privateKey, purpose);
  known[purpose].set(privateKey, made);
  return made;
}

async function derive(privateKey: CryptoKey, purpose: keyof typeof PURPOSES): Promise<CryptoKey> {
  const { d: seed } = await crypto.subtle.exportKey("jwk", privateKey);
  if (seed === undefined) throw new Error("this runtime gives no seed of an Ed25519 key");
  const material = await crypto.subtle.importKey("raw", new Uint8Array(base64url.decode(seed)), "HKDF", false, [
    "deriveKey",
  ]);
  const info = new TextEncoder().encode(PURPOSES[purpose]);
  const how = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  return purpose === "rows"
    ? crypto.subtle.deriveKey(how, material, { name: "HMAC", hash: "SHA-256", length: 256 }, false, ["sign", "verify"])
    : crypto.subtle.deriveKey(how, material, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

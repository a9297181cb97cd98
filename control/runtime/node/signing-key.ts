import { join } from "node:path";
import { readSigningKey } from "../../auth/signing-key.ts";
import type { SigningKey } from "../../deps.ts";
import { createFileAtomically, readTextIfExists } from "../../../shared/node/files.ts";

/**
 * Reads the control plane's signing key, or creates it once in `signing.key` (base64url PKCS #8, 0600).
 * @param given value of HOLDFAST_SIGNING_KEY; then no file is read
 * @throws Error when the stored key is invalid; it is never replaced, because every host has pinned it
 */
export async function openSigningKey(directory: string, given: string | undefined): Promise<SigningKey> {
  if (given !== undefined) return readSigningKey(given, "HOLDFAST_SIGNING_KEY");
  const file = signingKeyFile(directory);
  const kept = await readTextIfExists(file);
  if (kept !== null) return readSigningKey(kept, file);
  const made = await makeSigningKey();
  if (!(await createFileAtomically(file, `${made}\n`)))
    throw new Error(`${file} was made by another process just now: start again`);
  return readSigningKey(made, file);
}

/** Where the signing key is. */
export function signingKeyFile(directory: string): string {
  return join(directory, "signing.key");
}

/** @returns a new Ed25519 key as PKCS #8 in base64url */
export async function makeSigningKey(): Promise<string> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new Error("this runtime makes no Ed25519 keys");
  return Buffer.from(await crypto.subtle.exportKey("pkcs8", pair.privateKey)).toString("base64url");
}

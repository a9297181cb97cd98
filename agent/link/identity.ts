import { chmod, mkdir, rename, stat } from "node:fs/promises";
import { CompactSign, exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import type { CryptoKey } from "jose";
import * as z from "zod";
import { type HostKeyProof, JWS_TYPES } from "../../shared/assignment.ts";
import { uuidv7 } from "../../shared/ids.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { readTextIfExists, syncDirectory, writeFileAtomically } from "../../shared/node/files.ts";
import { parseJson } from "../../shared/json.ts";

/**
 * This host's own key. The private key never leaves its file, except in a backup of a control plane on the same
 * machine.
 */
export interface Identity {
  /** Raw Ed25519 public key, base64url. */
  readonly publicKey: string;
  readonly privateKey: CryptoKey;
}

const PrivateJwk = z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string(), d: z.string() });
const LIFETIME_SECONDS = 60;

/** Loads the host's key, or creates it. An enrolment whose answer was lost is retried with the same key. */
export async function loadOrCreateIdentity(paths: Paths): Promise<Identity> {
  return await loadOrCreate(paths, paths.keyFile);
}

/** The key that is to replace the host's: it is there from the beginning of a replacement to its end. */
export async function loadOrCreateNextIdentity(paths: Paths): Promise<Identity> {
  return await loadOrCreate(paths, nextKeyFile(paths));
}

/** @returns null when no replacement has begun */
export async function loadNextIdentity(paths: Paths): Promise<Identity | null> {
  return await loadFrom(nextKeyFile(paths));
}

/** The control plane has the next key: it takes the place of the present one, which is gone. */
export async function takeNextIdentity(paths: Paths): Promise<void> {
  await rename(nextKeyFile(paths), paths.keyFile);
  await syncDirectory(paths.state);
}

function nextKeyFile({ keyFile }: Pick<Paths, "keyFile">): string {
  return `${keyFile}.next`;
}

async function loadOrCreate(paths: Paths, file: string): Promise<Identity> {
  const existing = await loadFrom(file);
  if (existing !== null) return existing;
  const keys = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const jwk = PrivateJwk.parse(await exportJWK(keys.privateKey));
  await mkdir(paths.state, { recursive: true, mode: 0o700 });
  await chmod(paths.state, 0o700);
  await writeFileAtomically(file, `${JSON.stringify(jwk)}\n`, 0o600);
  return { publicKey: jwk.x, privateKey: keys.privateKey };
}

/** @returns null when there is none yet. @throws when the file is damaged, or others may read it */
export async function loadIdentity({ keyFile }: Pick<Paths, "keyFile">): Promise<Identity | null> {
  return await loadFrom(keyFile);
}

async function loadFrom(file: string): Promise<Identity | null> {
  const text = await readTextIfExists(file);
  if (text === null) return null;
  const mode = (await stat(file)).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new Error(
      `${file} can be read by others (mode 0${mode.toString(8)}), so this host's identity may be stolen: ` +
        "if nobody else had access, chmod 600 it; else revoke this host in the control plane and enrol again",
    );
  }
  const jwk = PrivateJwk.safeParse(parseJson(text));
  const privateKey = jwk.success ? await importJWK(jwk.data, "EdDSA").catch(() => null) : null;
  if (!jwk.success || privateKey === null || privateKey instanceof Uint8Array)
    throw new Error(`${file} is not a key of this agent: move it away and enrol this host again`);
  return { publicKey: jwk.data.x, privateKey };
}

/** Renames the key of a revoked host. The file is kept for diagnosis. */
export async function retireIdentity(paths: Paths, now: number): Promise<void> {
  await rename(paths.keyFile, `${paths.keyFile}.revoked-${now}`);
}

/** @param deps `now`: the control plane's time in milliseconds, as far as known. @returns a JWT valid for one minute */
export async function mintToken(
  identity: Identity,
  config: AgentConfig,
  deps: { now: number; random: (bytes: number) => Uint8Array },
): Promise<string> {
  const issuedAt = Math.floor(deps.now / 1000);
  return await new SignJWT({})
    .setProtectedHeader({ alg: "EdDSA", typ: JWS_TYPES.agent })
    .setSubject(config.host)
    .setAudience(config.audience)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + LIFETIME_SECONDS)
    .setJti(uuidv7(deps.now, deps.random(10)))
    .sign(identity.privateKey);
}

/** A JWS by the host's new key: whoever sends it has that key too. */
export async function proveNewKey(
  next: Identity,
  { host, previous }: { host: string; previous: string },
): Promise<string> {
  const proof: HostKeyProof = { host, publicKey: next.publicKey, previous };
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(proof)))
    .setProtectedHeader({ alg: "EdDSA", typ: JWS_TYPES.hostKey })
    .sign(next.privateKey);
}

import { createHash, randomBytes } from "node:crypto";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { Assignment } from "../../shared/assignment.ts";
import type { Order } from "../../shared/assignment.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import type { AgentConfig } from "../../agent/config.ts";

/** A control plane's signing key, in a test's hands. */
export interface Signer {
  publicKey: string;
  fingerprint: string;
  sign(payload: unknown, type: string): Promise<string>;
}

export async function makeSigner(): Promise<Signer> {
  const keys = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const publicKey = String((await exportJWK(keys.publicKey)).x);
  return {
    publicKey,
    fingerprint: createHash("sha256").update(Buffer.from(publicKey, "base64url")).digest("base64url"),
    sign: async (payload, type) =>
      await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
        .setProtectedHeader({ alg: "EdDSA", typ: type })
        .sign(keys.privateKey),
  };
}

let made = 0;

export function newId(): string {
  return uuidv7(Date.now() + made++, randomBytes(10));
}

export function configOf(signer: Signer, change: Partial<AgentConfig> = {}): AgentConfig {
  const url = "http://127.0.0.1:2";
  return { url, host: newId(), name: "nas", audience: url, controlKey: signer.publicKey, ...change };
}

/** An assignment of one contract, one repository and one binding, with the defaults of the model. */
export function assignmentOf(host: string, revision: number, settings: unknown = {}): Assignment {
  const [contract, repository] = [newId(), newId()];
  return Assignment.parse({
    protocol: 1,
    host,
    revision,
    issuedAt: instant(Date.parse("2026-11-23T08:00:00.000Z")),
    contracts: [
      { id: contract, name: "photos", kind: "files", request: { user: "root", sourceDirectories: ["/srv/photos"] } },
    ],
    repositories: [
      {
        id: repository,
        name: "disk",
        provider: "restic",
        location: "/backup/photos",
        passphrase: { generate: true },
        engineId: null,
      },
    ],
    bindings: [{ id: newId(), name: "photos-disk", contract, repository, paused: false, settings }],
  });
}

export function orderOf(host: string, change: Partial<{ id: string; expiresAt: string; binding: string }> = {}): Order {
  return {
    kind: "backup",
    id: newId(),
    host,
    binding: newId(),
    issuedAt: "2026-11-23T08:00:00.000Z",
    expiresAt: "2026-11-24T08:00:00.000Z",
    ...change,
  };
}

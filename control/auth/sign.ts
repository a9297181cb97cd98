import { CompactSign, compactVerify, importJWK } from "jose";
import type * as z from "zod";
import { JWS_TYPES, type Assignment, type NextKey, type Order } from "../../shared/assignment.ts";
import type { ChainHead, Checkpoint } from "../../shared/checkpoint.ts";
import type { Probes } from "../../shared/catalog.ts";
import type { RelayedDelivery } from "../../shared/relay.ts";
import type { Enrolment } from "../../shared/host.ts";
import { instant } from "../../shared/ids.ts";
import type { Deps, SigningKey } from "../deps.ts";

interface Signed {
  assignment: z.input<typeof Assignment>;
  order: z.input<typeof Order>;
  enrolment: Enrolment;
  probes: Probes;
  delivery: RelayedDelivery;
  checkpoint: Checkpoint;
  head: ChainHead;
  nextKey: NextKey;
}

/** @returns a compact JWS by the control plane's key; its `typ` is the kind, so no kind can be taken for another */
export async function sign<Kind extends keyof Signed>(
  key: SigningKey,
  kind: Kind,
  payload: Signed[Kind],
): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", typ: JWS_TYPES[kind] })
    .sign(key.privateKey);
}

/** @returns what this control plane signed as this kind; null when it is not its signature */
export async function openOwn<T>(
  { publicKey }: SigningKey,
  kind: keyof Signed,
  jws: string,
  schema: z.ZodType<T>,
): Promise<T | null> {
  try {
    const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: publicKey }, "EdDSA");
    const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["EdDSA"] });
    return protectedHeader.typ === JWS_TYPES[kind] ? schema.parse(JSON.parse(new TextDecoder().decode(payload))) : null;
  } catch {
    return null;
  }
}

/** @returns the next signing key for agents to pin, signed by the present one; nothing when none is prepared */
export async function announceNextKey({
  signingKey,
  nextSigningKey,
  clock,
}: Pick<Deps, "signingKey" | "nextSigningKey" | "clock">): Promise<{ nextKey?: string }> {
  if (nextSigningKey === undefined || nextSigningKey === null) return {};
  const announced = { next: nextSigningKey.publicKey, issuedAt: instant(clock.now()) };
  return { nextKey: await sign(signingKey, "nextKey", announced) };
}

import { compactVerify, decodeJwt, importJWK } from "jose";
import { HostKeyProof, JWS_TYPES } from "../../shared/assignment.ts";

/** @returns what a new host key has signed, verified by that key; null when it is nothing of the kind */
export async function readHostKeyProof(jws: string): Promise<HostKeyProof | null> {
  try {
    const proof = HostKeyProof.parse(decodeJwt(jws));
    const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: proof.publicKey }, "EdDSA");
    const { protectedHeader } = await compactVerify(jws, key, { algorithms: ["EdDSA"] });
    return protectedHeader.typ === JWS_TYPES.hostKey ? proof : null;
  } catch {
    return null;
  }
}

import { compactVerify, importJWK } from "jose";
import type * as z from "zod";
import { parseJson } from "../../shared/json.ts";

export type Verified<T> = { ok: true; value: T } | { ok: false; fault: "bad_signature" | "invalid"; message: string };

/**
 * Verifies and parses what the control plane signed.
 * @param key the control plane's raw Ed25519 public key in base64url, pinned at enrolment
 * @param type the `typ` its header must have: one kind of JWS is never accepted as another
 * @returns why it is not valid, as the end of a sentence, when it is not
 */
export async function verifySigned<T>(
  jws: string,
  key: string,
  type: string,
  schema: z.ZodType<T>,
): Promise<Verified<T>> {
  let text: string;
  try {
    const pinned = await importJWK({ kty: "OKP", crv: "Ed25519", x: key }, "EdDSA");
    const { payload, protectedHeader } = await compactVerify(jws, pinned, { algorithms: ["EdDSA"] });
    if (protectedHeader.typ !== type) {
      return {
        ok: false,
        fault: "bad_signature",
        message: `is signed as ${String(protectedHeader.typ)}, not as ${type}`,
      };
    }
    text = new TextDecoder().decode(payload);
  } catch {
    return { ok: false, fault: "bad_signature", message: "is not signed by the control plane this host enrolled with" };
  }
  const value = schema.safeParse(parseJson(text));
  if (value.success) return { ok: true, value: value.data };
  const issue = value.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")} `;
  const message = `is not understood (${where}${issue?.message ?? ""}): is this agent older than its control plane?`;
  return { ok: false, fault: "invalid", message };
}

/** The keys of the control plane that this host has pinned. */
export interface PinnedKeys {
  readonly controlKey: string;
  readonly nextControlKey?: string | undefined;
}

/**
 * The same with the pinned keys: the present one, or the one that it announced as the next.
 * @returns `by`: which of them signed it
 */
export async function verifyPinned<T>(
  jws: string,
  { controlKey, nextControlKey }: PinnedKeys,
  type: string,
  schema: z.ZodType<T>,
): Promise<Verified<T> & { by: "present" | "next" }> {
  const present = await verifySigned(jws, controlKey, type, schema);
  if (present.ok || present.fault !== "bad_signature" || nextControlKey === undefined)
    return { ...present, by: "present" };
  const next = await verifySigned(jws, nextControlKey, type, schema);
  return next.ok || next.fault !== "bad_signature" ? { ...next, by: "next" } : { ...present, by: "present" };
}

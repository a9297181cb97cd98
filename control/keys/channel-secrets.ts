import { base64url } from "jose";
import { type ChannelTarget, ChannelTarget as Target, SECRET_FIELDS } from "../../shared/channel.ts";
import { Failure } from "../../shared/failure.ts";
import type { Id } from "../../shared/ids.ts";
import type { StoredTarget } from "../db/schema/notifications.ts";
import type { Deps, SigningKey } from "../deps.ts";
import { derivedKey } from "./derived-keys.ts";
import { canonicalJson } from "../../shared/json.ts";

/*
 * The database has the secrets of channels as ciphertext only: AES-256-GCM with a key derived from the signing key.
 * What is sealed is bound to its channel and to where it is sent, so that who writes the database can't have a token
 * sent elsewhere (decision 42).
 */

type SealDeps = Pick<Deps, "signingKey" | "random">;

/** A channel's row, as far as its secrets are bound to it. */
interface ChannelPlace {
  readonly id: Id;
  readonly via: Id | null;
}

const PREFIX = "sealed.1.";
const NONCE_BYTES = 12;

/** The target with its secret fields sealed. Also one without secrets is sealed: nobody else can make a target. */
export async function sealTarget(deps: SealDeps, place: ChannelPlace, target: ChannelTarget): Promise<StoredTarget> {
  const isSecret = (name: string): boolean => SECRET_FIELDS[target.kind].includes(name);
  const entries = Object.entries(target);
  const open = { ...Object.fromEntries(entries.filter(([name]) => !isSecret(name))), kind: target.kind };
  const secrets = JSON.stringify(Object.fromEntries(entries.filter(([name]) => isSecret(name))));
  return { ...open, sealed: await seal(deps, secrets, contextOf(place, open)) };
}

/** Throws `database.tampered` when somebody else wrote the target, or moved it to another channel or place. */
export async function openTarget(
  { signingKey }: Pick<Deps, "signingKey">,
  { target, ...place }: ChannelPlace & { readonly target: StoredTarget },
): Promise<ChannelTarget> {
  const { sealed, ...open } = target;
  const secrets: unknown = JSON.parse(await unseal(signingKey, sealed, contextOf(place, open)));
  return Target.parse({ ...open, ...(typeof secrets === "object" ? secrets : {}) });
}

/** A webhook's signing secret. */
export async function sealSecret(deps: SealDeps, channel: Id, secret: string): Promise<string> {
  return seal(deps, secret, secretContext(channel));
}

/** Throws `database.tampered` when somebody else wrote it. */
export async function openSecret(
  { signingKey }: Pick<Deps, "signingKey">,
  channel: Id,
  sealed: string,
): Promise<string> {
  return unseal(signingKey, sealed, secretContext(channel));
}

export function isSealed(text: unknown): text is string {
  return typeof text === "string" && text.startsWith(PREFIX);
}

function contextOf({ id, via }: ChannelPlace, open: Record<string, unknown>): string {
  return canonicalJson(["channels", "target", id, via, open]);
}

/** The same for the present and the previous secret: one becomes the other. */
function secretContext(channel: Id): string {
  return canonicalJson(["channels", "secret", channel]);
}

async function seal({ signingKey, random }: SealDeps, text: string, context: string): Promise<string> {
  const iv = new Uint8Array(random(NONCE_BYTES));
  const key = await derivedKey(signingKey, "secrets");
  const how = { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(context) };
  const sealed = new Uint8Array(await crypto.subtle.encrypt(how, key, new TextEncoder().encode(text)));
  return `${PREFIX}${base64url.encode(new Uint8Array([...iv, ...sealed]))}`;
}

async function unseal(signingKey: SigningKey, sealed: unknown, context: string): Promise<string> {
  try {
    if (!isSealed(sealed)) throw new Error("it is not sealed");
    const bytes = base64url.decode(sealed.slice(PREFIX.length));
    const additionalData = new TextEncoder().encode(context);
    const how = { name: "AES-GCM", iv: new Uint8Array(bytes.slice(0, NONCE_BYTES)), additionalData };
    const key = await derivedKey(signingKey, "secrets");
    return new TextDecoder().decode(await crypto.subtle.decrypt(how, key, new Uint8Array(bytes.slice(NONCE_BYTES))));
  } catch {
    throw new Failure(
      "database.tampered",
      "the channel's address or secrets were not written by this control plane, so nothing is sent: delete the channel and create it again",
    );
  }
}

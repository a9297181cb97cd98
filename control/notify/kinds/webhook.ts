import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import type { Message, TargetOf } from "../message.ts";

const encoder = new TextEncoder();

/**
 * One request signed as in Standard Webhooks 1.0.
 * @param secrets each `whsec_` and base64; two during a rotation: the receiver may check either signature
 */
export async function webhookRequest(
  { id, at, event }: Message,
  { url }: TargetOf<"webhook">,
  secrets: readonly string[],
): Promise<OutgoingRequest> {
  const timestamp = String(Math.floor(at / 1000));
  const body = JSON.stringify(event);
  const signatures = await Promise.all(secrets.map((secret) => sign(secret, `${id}.${timestamp}.${body}`)));
  return {
    method: "POST",
    url,
    headers: {
      "content-type": "application/json",
      "user-agent": "Holdfast",
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": signatures.map((signature) => `v1,${signature}`).join(" "),
    },
    body,
  };
}

async function sign(secret: string, text: string): Promise<string> {
  const raw = Uint8Array.from(atob(secret.replace(/^whsec_/, "")), (character) => character.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text))));
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

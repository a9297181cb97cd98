import type { Post } from "../deps.ts";

const encoder = new TextEncoder();

/**
 * Builds one signed request as Standard Webhooks 1.0 wants it.
 * @param message.id the same on every attempt, so that a receiver can recognise what it already has
 * @param message.at milliseconds since 1970: the moment of this attempt, part of what is signed
 * @param message.secret `whsec_` and base64
 */
export async function webhookRequest(message: {
  id: string;
  at: number;
  url: string;
  secret: string;
  body: string;
}): Promise<Parameters<Post>[0]> {
  const timestamp = String(Math.floor(message.at / 1000));
  const signature = await sign(message.secret, `${message.id}.${timestamp}.${message.body}`);
  return {
    url: message.url,
    headers: {
      "content-type": "application/json",
      "user-agent": "Holdfast",
      "webhook-id": message.id,
      "webhook-timestamp": timestamp,
      "webhook-signature": `v1,${signature}`,
    },
    body: message.body,
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

import { base64url } from "jose";
import type { Deps } from "../deps.ts";

/** 256 random bits as 43 characters of base64url. */
export function newSecret(deps: Pick<Deps, "random">): string {
  return base64url.encode(deps.random(32));
}

/** Hex SHA-256. Enough for storing random secrets; too weak for passwords. */
export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

import { eq } from "drizzle-orm";
import type { Scope } from "../../shared/api.ts";
import { Failure } from "../../shared/failure.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { tokens } from "../db/schema/service.ts";
import type { Deps } from "../deps.ts";
import { bearer } from "./bearer.ts";
import { onlyGenuine } from "../keys/row-mac.ts";
import { sha256Hex } from "./secret.ts";

const RECORD_USED_EVERY_MS = 60_000;
const RANK: Record<Scope, number> = { read: 0, operate: 1, admin: 2 };

export interface AuthenticatedToken {
  readonly id: Id;
  readonly name: string;
  readonly scope: Scope;
}

/** Identifies the request's API token without saying what it is; null when there is none. */
export async function tokenHash(headers: Headers): Promise<string | null> {
  const text = bearer(headers);
  return text === null || !text.startsWith("hft_") ? null : await sha256Hex(text);
}

/** Authenticates a request to the API by its token. Throws `auth.required`. */
export async function authenticateToken(deps: Deps, headers: Headers): Promise<AuthenticatedToken> {
  const text = bearer(headers);
  if (text === null || !text.startsWith("hft_")) {
    throw new Failure(
      "auth.required",
      "send an API token: `Authorization: Bearer hft_…`; `holdfast token create` makes one",
    );
  }
  const rows = await deps.db
    .select()
    .from(tokens)
    .where(eq(tokens.hash, await sha256Hex(text)));
  const [token] = await onlyGenuine(deps, "tokens", rows);
  if (token === undefined) throw new Failure("auth.required", "no such API token; it may have been revoked");
  const now = deps.clock.now();
  if (token.expiresAt !== null && Date.parse(token.expiresAt) <= now) {
    throw new Failure("auth.required", `API token "${token.name}" expired at ${token.expiresAt}; make a new one`);
  }
  if (token.lastUsedAt === null || Date.parse(token.lastUsedAt) + RECORD_USED_EVERY_MS <= now) {
    await deps.db
      .update(tokens)
      .set({ lastUsedAt: instant(now) })
      .where(eq(tokens.id, token.id));
  }
  return { id: token.id, name: token.name, scope: token.scope };
}

/** Throws `auth.scope_too_small` unless the token's scope includes `scope`. */
export function requireScope(token: AuthenticatedToken, scope: Scope): void {
  if (RANK[token.scope] >= RANK[scope]) return;
  throw new Failure(
    "auth.scope_too_small",
    `API token "${token.name}" has the scope ${token.scope}, and this needs ${scope}; use a token with that scope`,
  );
}

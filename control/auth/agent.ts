import { eq } from "drizzle-orm";
import { compactVerify, decodeJwt, importJWK } from "jose";
import * as z from "zod";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { CLOCK_HEADER, CLOCK_WRONG_MS, parseSkew } from "../../shared/clock-skew.ts";
import { Failure } from "../../shared/failure.ts";
import type { HostInstances } from "../../shared/host.ts";
import { Id, instant } from "../../shared/ids.ts";
import { hosts, usedJwts } from "../db/schema/hosts.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { bearer } from "./bearer.ts";
import { requireGenuine } from "../keys/row-mac.ts";

const CLOCK_TOLERANCE_SECONDS = 300;
const MAX_LIFETIME_SECONDS = 120;
const RECORD_SEEN_EVERY_MS = 60_000;

const Claims = z.object({ sub: Id, aud: z.string(), iat: z.int(), exp: z.int(), jti: z.string().min(1).max(128) });

/** A valid public key (RFC 8032, section 7.1, test 1). */
const NOBODYS_KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const WRONG_KEY =
  "no host here has the key that signed the JWT: it was deleted or replaced, or never enrolled here. Enrol it again";

export interface AuthenticatedHost {
  readonly id: Id;
  readonly name: string;
}

/** A host and its request: which processes use its key, and when the request was made, in milliseconds since 1970. */
interface HostRequest extends AuthenticatedHost {
  readonly instances: HostInstances | null;
  readonly madeAt: number;
}

/**
 * Authenticates an agent's request or socket upgrade by its short-lived JWT, which the host's key signed, and which is
 * accepted once. Throws `auth.required`, `auth.clock_wrong`, `auth.jwt_used` or `auth.host_revoked`.
 */
export async function authenticateAgent(deps: Deps, headers: Headers): Promise<HostRequest> {
  const token = bearer(headers);
  if (token === null) throw authError("this address takes a JWT signed by the host's key as a bearer token");
  const claims = readClaims(token);
  const [host] = await deps.db.select().from(hosts).where(eq(hosts.id, claims.sub));
  if (host !== undefined) await requireGenuine(deps, "hosts", host);
  // A host that is not there is answered like one whose key is another, after the same work.
  await verifySignature(token, host?.publicKey ?? NOBODYS_KEY);
  if (host === undefined) throw authError(WRONG_KEY);
  checkClaims(deps, claims, host.audience);
  if (host.revokedAt !== null) {
    throw new Failure(
      "auth.host_revoked",
      `host "${host.name}" was revoked; enrol it again with a new token and a new key`,
    );
  }
  await recordUse(deps, host, claims, headers.get(CLOCK_HEADER));
  return { id: host.id, name: host.name, instances: host.instances, madeAt: claims.iat * 1000 };
}

/**
 * Records that the JWT is used, and the contact: once a minute, or at once when the host's clock became wrong or
 * correct.
 */
async function recordUse(
  deps: Deps,
  host: typeof hosts.$inferSelect,
  { jti, iat }: z.infer<typeof Claims>,
  clock: string | null,
): Promise<void> {
  const { db } = deps;
  // Kept until its age alone makes it invalid.
  const expiresAt = instant((iat + CLOCK_TOLERANCE_SECONDS + 1) * 1000);
  const [{ rowsAffected }] = await db.batch([
    db.insert(usedJwts).values({ host: host.id, jti, expiresAt }).onConflictDoNothing(),
    ...seenStatements(deps, host, clock),
  ]);
  if (rowsAffected > 0) return;
  throw new Failure("auth.jwt_used", "this JWT was used already: make a new one for every request");
}

function seenStatements(
  deps: Deps,
  { id, lastSeenAt, clockSkewMs }: typeof hosts.$inferSelect,
  clock: string | null,
): Statement[] {
  const now = deps.clock.now();
  const skew = parseSkew(clock, now);
  const isLongAgo = lastSeenAt === null || Math.abs(now - Date.parse(lastSeenAt)) >= RECORD_SEEN_EVERY_MS;
  const hasClockChanged = skew !== null && (clockSkewMs === null || isWrong(skew) !== isWrong(clockSkewMs));
  if (!isLongAgo && !hasClockChanged) return [];
  const seen = { lastSeenAt: instant(now), ...(skew === null ? {} : { clockSkewMs: Math.round(skew) }) };
  return [deps.db.update(hosts).set(seen).where(eq(hosts.id, id))];
}

function isWrong(skewMs: number): boolean {
  return Math.abs(skewMs) > CLOCK_WRONG_MS;
}

/** The host that a request says it comes from, whether or not that is true; null when it says none. */
export function claimedHost(headers: Headers): Id | null {
  try {
    return Claims.parse(decodeJwt(bearer(headers) ?? "")).sub;
  } catch {
    return null;
  }
}

function readClaims(token: string): z.infer<typeof Claims> {
  try {
    return Claims.parse(decodeJwt(token));
  } catch {
    throw authError("the bearer token is not a host's JWT");
  }
}

async function verifySignature(token: string, publicKey: string): Promise<void> {
  try {
    const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: publicKey }, "EdDSA");
    const { protectedHeader } = await compactVerify(token, key, { algorithms: ["EdDSA"] });
    if (protectedHeader.typ !== JWS_TYPES.agent) throw new Error(`typ is ${protectedHeader.typ}`);
  } catch {
    throw authError(WRONG_KEY);
  }
}

function checkClaims(deps: Deps, claims: z.infer<typeof Claims>, audience: string): void {
  if (claims.aud !== audience) throw authError(`the JWT is for ${claims.aud}, and this host enrolled at ${audience}`);
  if (claims.exp <= claims.iat || claims.exp - claims.iat > MAX_LIFETIME_SECONDS) {
    throw authError(`the JWT must expire within ${MAX_LIFETIME_SECONDS} seconds of when it was made`);
  }
  const ageSeconds = deps.clock.now() / 1000 - claims.iat;
  if (Math.abs(ageSeconds) > CLOCK_TOLERANCE_SECONDS) {
    throw new Failure(
      "auth.clock_wrong",
      `the JWT was made ${Math.round(Math.abs(ageSeconds))} seconds ${ageSeconds > 0 ? "ago" : "in the future"}: set the host's clock`,
    );
  }
}

function authError(why: string): Failure {
  return new Failure("auth.required", why);
}

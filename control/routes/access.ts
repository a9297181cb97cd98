import type { Context, Next } from "hono";
import type { Scope } from "../../shared/api.ts";
import { Failure } from "../../shared/failure.ts";
import { INSTANCE_HEADER, parseInstance } from "../../shared/instance.ts";
import { authenticateAgent, type AuthenticatedHost, claimedHost } from "../auth/agent.ts";
import { bearer } from "../auth/bearer.ts";
import { createThrottle, type Throttle } from "../auth/throttle.ts";
import { authenticateToken, requireScope, type AuthenticatedToken, tokenHash } from "../auth/token.ts";
import type { Deps } from "../deps.ts";
import { noticeInstance } from "../domain/hosts/instances.ts";

/** The public routes. Everything else needs authentication, whether the route exists or not. */
const PUBLIC: readonly RegExp[] = [
  /^GET \/healthz$/,
  /^GET \/api\/v1\/openapi\.json$/,
  /^POST \/agent\/v1\/enroll$/,
  /^GET \/install\.sh$/,
  /^GET \/install\/[^/]+$/,
];

const OPERATE: readonly RegExp[] = [
  /^POST \/api\/v1\/bindings\/[^/]+\/(run|forget|check|pause|resume)$/,
  /^POST \/api\/v1\/repositories\/[^/]+\/(check|prune)$/,
  /^POST \/api\/v1\/runs\/[^/]+\/cancel$/,
  /^POST \/api\/v1\/restores$/,
  /^POST \/api\/v1\/channels\/[^/]+\/test$/,
  /^POST \/api\/v1\/deliveries\/[^/]+\/retry$/,
  /^POST \/api\/v1\/incidents\/[^/]+\/acknowledge$/,
];

/** Routes that read the audit, or what hosts sealed. */
const ADMIN: readonly RegExp[] = [/^GET \/api\/v1\/audit(\/verify)?$/, /^GET \/api\/v1\/recovery\/escrows$/];

/** `requireAccess` sets the host on every route under /agent/v1 that is not public. */
export interface AgentEnv {
  Variables: { host: AuthenticatedHost };
}

/** `requireAccess` sets the token on every other route that is not public. */
export interface ApiEnv {
  Variables: { token: AuthenticatedToken };
}

/** The environment of the whole app. */
export interface AccessEnv {
  /** What the runtime says of a request. */
  Bindings: { address?: string };
  /** `audited`: what the request may change, as it was before. `address`: where it came from; null: not known. */
  Variables: AgentEnv["Variables"] &
    ApiEnv["Variables"] & { audited?: Record<string, unknown> | null; address: string | null };
}

/** What a runtime knows of the clients and their connections. */
export interface Clients {
  readonly throttle: Throttle;
  /** The client's address; null: not known. */
  addressOf(context: Context): string | null;
  /** A credential of this request was right. */
  onAuthenticated(context: Context): void;
}

/** For who embeds the app and knows nothing of its clients. */
export function unknownClients(deps: Pick<Deps, "clock">): Clients {
  return { throttle: createThrottle(deps.clock), addressOf: () => null, onAuthenticated: () => undefined };
}

/**
 * Middleware: public routes are open, /agent/v1 needs a host's JWT, everything else an API token with enough scope. Who
 * sends many wrong credentials is slowed down.
 */
export function requireAccess(deps: Deps, clients: Clients) {
  return async (context: Context<AccessEnv>, next: Next): Promise<void> => {
    const request = `${context.req.method === "HEAD" ? "GET" : context.req.method} ${context.req.path}`;
    const { headers } = context.req.raw;
    const address = clients.addressOf(context);
    context.set("address", address);
    const guard = async <T>(credential: string | null, check: () => Promise<T>): Promise<T> =>
      bearer(headers) === null ? await check() : await clients.throttle.guard({ address, credential }, check, isWrong);
    if (request === ENROLL) return await guardEnrolment(context, next, clients.throttle);
    if (!PUBLIC.some((pattern) => pattern.test(request))) {
      if (context.req.path.startsWith("/agent/v1/")) {
        const host = await guard(claimedHost(headers), () => authenticateAgent(deps, headers));
        clients.onAuthenticated(context);
        context.set("host", { id: host.id, name: host.name });
        const instance = parseInstance(headers.get(INSTANCE_HEADER));
        const seen = instance === null ? null : { ...instance, madeAt: host.madeAt, address };
        await noticeInstance(deps, host, seen, request === REPORTS);
      } else {
        const token = await guard(await tokenHash(headers), () => authenticateToken(deps, headers));
        clients.onAuthenticated(context);
        context.set("token", token);
        requireScope(token, scopeOf(request));
      }
    }
    await next();
  };
}

/** Brings something and gives nothing: taken also while it is not known which of two machines is the host. */
const REPORTS = "POST /agent/v1/reports";
const ENROLL = "POST /agent/v1/enroll";

/** The app turns a failed enrolment into an answer: here it is an error again, so that guesses are counted. */
async function guardEnrolment(context: Context<AccessEnv>, next: Next, throttle: Throttle): Promise<void> {
  const enrol = async (): Promise<void> => {
    await next();
    if (isWrong(context.error)) throw context.error;
  };
  await throttle.guard({ address: context.var.address, credential: null }, enrol, isWrong);
}

/** Whether an error says that a credential is wrong. That of a revoked host, or made by a wrong clock, is right. */
function isWrong(error: unknown): boolean {
  return error instanceof Failure && (error.code === "auth.required" || error.code === "enrollments.token_refused");
}

/** GET needs `read` (the audit: `admin`), the routes in OPERATE need `operate`, everything else needs `admin`. */
function scopeOf(request: string): Scope {
  if (ADMIN.some((pattern) => pattern.test(request))) return "admin";
  if (request.startsWith("GET ")) return "read";
  return OPERATE.some((pattern) => pattern.test(request)) ? "operate" : "admin";
}

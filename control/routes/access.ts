import type { Context, Next } from "hono";
import type { Scope } from "../../shared/api.ts";
import { authenticateAgent, type AuthenticatedHost } from "../auth/agent.ts";
import { authenticateToken, requireScope, type AuthenticatedToken } from "../auth/token.ts";
import type { Deps } from "../deps.ts";

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

/** Routes that read the audit. */
const ADMIN: readonly RegExp[] = [/^GET \/api\/v1\/audit(\/verify)?$/];

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
  /** `audited`: what the request may change, as it was before. */
  Variables: AgentEnv["Variables"] & ApiEnv["Variables"] & { audited?: Record<string, unknown> | null };
}

/** Middleware: public routes are open, /agent/v1 needs a host's JWT, everything else an API token with enough scope. */
export function requireAccess(deps: Deps) {
  return async (context: Context<AccessEnv>, next: Next): Promise<void> => {
    const request = `${context.req.method === "HEAD" ? "GET" : context.req.method} ${context.req.path}`;
    if (!PUBLIC.some((pattern) => pattern.test(request))) {
      if (context.req.path.startsWith("/agent/v1/")) {
        context.set("host", await authenticateAgent(deps, context.req.raw.headers));
      } else {
        const token = await authenticateToken(deps, context.req.raw.headers);
        context.set("token", token);
        requireScope(token, scopeOf(request));
      }
    }
    await next();
  };
}

/** GET needs `read` (the audit: `admin`), the routes in OPERATE need `operate`, everything else needs `admin`. */
function scopeOf(request: string): Scope {
  if (ADMIN.some((pattern) => pattern.test(request))) return "admin";
  if (request.startsWith("GET ")) return "read";
  return OPERATE.some((pattern) => pattern.test(request)) ? "operate" : "admin";
}

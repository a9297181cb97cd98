import type { Context, Next } from "hono";
import type { Scope } from "../../shared/api.ts";
import { authenticateAgent, type AuthenticatedHost } from "../auth/agent.ts";
import { authenticateToken, requireScope, type AuthenticatedToken } from "../auth/token.ts";
import type { Deps } from "../deps.ts";

/** Everything that answers without a proof of who asks. All else is closed, whether a route is there or not. */
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

/** What looks at who did what. */
const ADMIN: readonly RegExp[] = [/^GET \/api\/v1\/audit$/];

/** Filled by `onlyWithAccess` on everything under /agent/v1 that is not public. */
export interface AgentEnv {
  Variables: { host: AuthenticatedHost };
}

/** Filled on everything else that is not public. */
export interface ApiEnv {
  Variables: { token: AuthenticatedToken };
}

/** Of the whole app. */
export type AccessEnv = { Variables: AgentEnv["Variables"] & ApiEnv["Variables"] };

/** Middleware: lets in who is on the public list, a host under /agent/v1, and elsewhere an API token with the scope it needs. */
export function requireAccess(deps: Deps) {
  return async (context: Context<AccessEnv>, next: Next): Promise<void> => {
    const asked = `${context.req.method === "HEAD" ? "GET" : context.req.method} ${context.req.path}`;
    if (!PUBLIC.some((pattern) => pattern.test(asked))) {
      if (context.req.path.startsWith("/agent/v1/")) {
        context.set("host", await authenticateAgent(deps, context.req.raw.headers));
      } else {
        const token = await authenticateToken(deps, context.req.raw.headers);
        context.set("token", token);
        requireScope(token, scopeOf(asked));
      }
    }
    await next();
  };
}

/** Looking needs `read` but for the audit, what runs or retries something `operate`, and what is not on a list here `admin`. */
function scopeOf(asked: string): Scope {
  if (ADMIN.some((pattern) => pattern.test(asked))) return "admin";
  if (asked.startsWith("GET ")) return "read";
  return OPERATE.some((pattern) => pattern.test(asked)) ? "operate" : "admin";
}

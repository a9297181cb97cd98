import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { openAPIRouteHandler } from "hono-openapi";
import { Failure } from "../shared/failure.ts";
import type { Deps } from "./deps.ts";
import { healthProblem } from "./domain/service/vitals.ts";
import { requireAccess, unknownClients, type AccessEnv, type Clients } from "./routes/access.ts";
import { agentRoutes, type OpenSocket } from "./routes/agent.ts";
import { approvalRoutes } from "./routes/approvals.ts";
import { recordAudit, auditRoutes, readBeforeChange } from "./routes/audit.ts";
import { bindingRoutes } from "./routes/bindings.ts";
import { calendarRoutes } from "./routes/calendar.ts";
import { catalogRoutes } from "./routes/catalog.ts";
import { channelRoutes } from "./routes/channels.ts";
import { contractRoutes } from "./routes/contracts.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { enrollmentRoutes } from "./routes/enrollments.ts";
import { failureResponse } from "./routes/failures.ts";
import { hostRoutes } from "./routes/hosts.ts";
import { incidentRoutes } from "./routes/incidents.ts";
import { installScriptRoute } from "./routes/install.ts";
import { proposalRoutes } from "./routes/proposals.ts";
import { recoveryRoutes } from "./routes/recovery.ts";
import { repositoryRoutes } from "./routes/repositories.ts";
import { restoreRoutes } from "./routes/restores.ts";
import { runRoutes } from "./routes/runs.ts";
import { snapshotRoutes } from "./routes/snapshots.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { requireJson } from "./routes/validate.ts";

const MiB = 1024 * 1024;

export interface AppOptions {
  /** Handles `GET /agent/v1/socket` of an authenticated host. */
  readonly socket: OpenSocket;
  /** Serves `/install/*`, the agent's files, where the runtime itself does not. */
  readonly install?: Hono;
  /** What the runtime knows of the clients; nothing when it is left out. */
  readonly clients?: Clients;
}

const SAFE_HEADERS = [
  ["x-content-type-options", "nosniff"],
  ["x-frame-options", "DENY"],
  ["referrer-policy", "no-referrer"],
] as const;

/** The HTTP application of the control plane. Every route needs authentication, except the list in routes/access.ts. */
export function createApp(deps: Deps, options: AppOptions) {
  const app = new Hono<AccessEnv>();
  app.onError((error) => failureResponse(deps.log, error));
  app.notFound((context) =>
    failureResponse(deps.log, new Failure("route.not_found", `there is no ${context.req.method} ${context.req.path}`)),
  );
  app.use(async (context, next) => {
    await next();
    const { path } = context.req;
    // A socket's answer has the headers that the runtime writes.
    if (context.res.status === 101) return;
    // An answer is what it says it is, whatever somebody wrote into it, and it is for this client and this moment.
    for (const [name, value] of SAFE_HEADERS) context.header(name, value);
    if (!/^\/(api|agent)\//.test(path)) return;
    context.header("cache-control", "no-store");
    context.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    // Agents compute their clock offset from it, so it must be the clock that checks their JWTs.
    if (path.startsWith("/agent/v1/")) context.header("date", new Date(deps.clock.now()).toUTCString());
  });
  app.use(recordAudit(deps));
  app.use(requireAccess(deps, options.clients ?? unknownClients(deps)));
  app.use(readBeforeChange(deps));
  app.use("/agent/v1/:route{reports|declarations|escrows}", limitBody(8 * MiB));
  app.use("/agent/v1/:route{enroll|facts|detections|deliveries|key}", limitBody(MiB));
  app.use("/api/*", limitBody(MiB));
  app.use(requireJson);

  app.get("/healthz", async (context) => {
    const why = await healthProblem(deps);
    return why === null ? context.json({ status: "ok" }) : context.json({ status: "failing", why }, 503);
  });
  app.route("/", installScriptRoute(deps));
  if (options.install !== undefined) app.route("/", options.install);
  const api = new Hono()
    .route("/hosts", hostRoutes(deps))
    .route("/approvals", approvalRoutes(deps))
    .route("/contracts", contractRoutes(deps))
    .route("/catalog", catalogRoutes())
    .route("/proposals", proposalRoutes(deps))
    .route("/repositories", repositoryRoutes(deps))
    .route("/bindings", bindingRoutes(deps))
    .route("/runs", runRoutes(deps))
    .route("/restores", restoreRoutes(deps))
    .route("/snapshots", snapshotRoutes(deps))
    .route("/calendar", calendarRoutes(deps))
    .route("/incidents", incidentRoutes(deps))
    .route("/channels", channelRoutes(deps))
    .route("/deliveries", deliveryRoutes(deps))
    .route("/tokens", tokenRoutes(deps))
    .route("/enrollments", enrollmentRoutes(deps))
    .route("/recovery", recoveryRoutes(deps))
    .route("/audit", auditRoutes(deps));
  const described = new Hono().route("/api/v1", api).route("/agent/v1", agentRoutes(deps, options.socket));
  app.get("/api/v1/openapi.json", openAPIRouteHandler(described, documented(deps)));
  return app.route("/api/v1", api).route("/agent/v1", agentRoutes(deps, options.socket));
}

export type App = ReturnType<typeof createApp>;

function limitBody(maxSize: number) {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw new Failure("request.too_large", `the body is larger than ${maxSize / MiB} MiB; send less at once`);
    },
  });
}

function documented(deps: Deps) {
  return {
    defaultValidationErrorResponse: false,
    documentation: {
      info: { title: "Holdfast", version: deps.config.version, description: "Backups of many self-hosted machines." },
      servers: [{ url: deps.config.url }],
      components: {
        securitySchemes: {
          token: {
            type: "http" as const,
            scheme: "bearer",
            description: "an API token, hft_…; an agent's JWT under /agent/v1",
          },
        },
      },
      security: [{ token: [] }],
    },
  };
}

import { Hono, type Context, type Next } from "hono";
import { routePath } from "hono/route";
import * as z from "zod";
import { ListQuery, page } from "../../shared/api.ts";
import { AuditEntry, AuditVerification } from "../../shared/audit.ts";
import { Id, Instant } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { recordAuditEntry, listAudit } from "../domain/service/audit.ts";
import { verifyAudit } from "../domain/service/audit-verify.ts";
import type { AccessEnv } from "./access.ts";
import { changesOf, readAudited } from "./audited-object.ts";
import { describeAnswer } from "./describe.ts";
import { query } from "./validate.ts";

const ListAudit = ListQuery.extend({
  by: Id.optional().describe("the id of a token or host"),
  object: z.string().min(1).max(128).optional().describe("the id of what was changed"),
  method: AuditEntry.shape.method.optional(),
  since: Instant.optional(),
});

export function auditRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(AuditEntry), "List who changed what, newest first"),
      query(ListAudit),
      async (context) => context.json(await listAudit(deps, context.req.valid("query"))),
    )
    .get(
      "/verify",
      describeAnswer(200, AuditVerification, "Check a part of the audit's chain"),
      query(z.strictObject({ after: z.coerce.number().int().min(0).default(0) })),
      async (context) => context.json(await verifyAudit(deps, context.req.valid("query"))),
    );
}

/** Agent requests that are audited. Routine ones (reports, facts) are not. */
const AUDITED_AGENT_ROUTES = /^\/agent\/v1\/(enroll|declarations)$/;

/**
 * Middleware: records every answered request that may have changed something. Unauthenticated requests are not
 * recorded, so that nobody can fill the database.
 */
export function recordAudit(deps: Deps) {
  return async (context: Context<AccessEnv>, next: Next): Promise<void> => {
    await next();
    const method = AuditEntry.shape.method.safeParse(context.req.method);
    const { path } = context.req;
    if (!method.success || (path.startsWith("/agent/") && !AUDITED_AGENT_ROUTES.test(path))) return;
    const { token, host }: Partial<AccessEnv["Variables"]> = context.var;
    const who = token ?? host;
    if (who === undefined) return;
    const route = routePath(context, -1);
    const { status } = context.res;
    const object = objectIdInPath(path, route) ?? (await createdObjectId(context.res));
    const isDone = status < 300;
    await recordAuditEntry(deps, {
      by: who.id,
      byName: who.name,
      byKind: token === undefined ? "host" : "token",
      method: method.data,
      route,
      object,
      status,
      address: context.env?.address ?? null,
      ...changesOf(
        isDone ? (context.get("audited") ?? null) : null,
        isDone ? await readAudited(deps, path, object) : null,
      ),
    });
  };
}

/** Middleware, behind the authentication: reads what the request may change, for the audit. */
export function readBeforeChange(deps: Deps) {
  return async (context: Context<AccessEnv>, next: Next): Promise<void> => {
    const { method, path } = context.req;
    const id = /^\/api\/v1\/[a-z]+\/([^/]+)/.exec(path)?.[1] ?? null;
    if (method !== "GET" && method !== "HEAD" && id !== null) context.set("audited", await readAudited(deps, path, id));
    await next();
  };
}

/** The object's id in the path. */
function objectIdInPath(path: string, route: string): string | null {
  const place = route.split("/").indexOf(":id");
  return place < 0 ? null : (path.split("/")[place]?.slice(0, 128) ?? null);
}

const Created = z.object({ id: Id });

async function createdObjectId(answer: Response): Promise<string | null> {
  if (answer.status !== 201 && answer.status !== 202) return null;
  const created = Created.safeParse(
    await answer
      .clone()
      .json()
      .catch(() => null),
  );
  return created.success ? created.data.id : null;
}

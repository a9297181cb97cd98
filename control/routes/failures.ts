import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { Failure, type ApiCode, type ErrorBody } from "../../shared/failure.ts";
import type { Log } from "../deps.ts";
import { databaseProblem } from "./database-errors.ts";

/** The one place where a code becomes an HTTP status. */
const STATUS: Record<ApiCode, ContentfulStatusCode> = {
  "hosts.not_found": 404,
  "contracts.not_found": 404,
  "repositories.not_found": 404,
  "bindings.not_found": 404,
  "runs.not_found": 404,
  "snapshots.not_found": 404,
  "channels.not_found": 404,
  "deliveries.not_found": 404,
  "tokens.not_found": 404,
  "enrollments.not_found": 404,
  "catalog.not_found": 404,
  "proposals.not_found": 404,
  "incidents.not_found": 404,
  "hosts.name_taken": 409,
  "contracts.name_taken": 409,
  "repositories.name_taken": 409,
  "bindings.name_taken": 409,
  "channels.name_taken": 409,
  "tokens.name_taken": 409,
  "hosts.in_use": 409,
  "contracts.in_use": 409,
  "repositories.in_use": 409,
  "bindings.in_use": 409,
  "request.invalid": 400,
  "request.too_large": 413,
  "request.conflict": 409,
  "request.quota_exceeded": 429,
  "route.not_found": 404,
  "auth.required": 401,
  "auth.scope_too_small": 403,
  "auth.host_revoked": 403,
  "auth.clock_wrong": 401,
  "auth.jwt_used": 401,
  "auth.throttled": 429,
  "auth.host_cloned": 409,
  "enrollments.token_refused": 403,
  "bindings.contract_read_only": 400,
  "contracts.declared_on_host": 409,
  "bindings.declared_on_host": 409,
  "repositories.declared_on_host": 409,
  "bindings.already_bound": 400,
  "runs.already_finished": 409,
  "database.unavailable": 503,
  "database.tampered": 500,
  internal: 500,
};

/** Turns an error into a response. An unexpected error is logged, and its details are not exposed. */
export function failureResponse(log: Log, error: unknown): Response {
  const failure = toFailure(log, error);
  const { code, message, issues, retryAfterSeconds } = failure;
  const body: ErrorBody = { error: { code, message, ...(issues.length > 0 ? { issues } : {}) } };
  const status = STATUS[code];
  const headers = {
    ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
    ...(retryAfterSeconds === null ? {} : { "retry-after": String(retryAfterSeconds) }),
  };
  return Response.json(body, { status, headers });
}

function toFailure(log: Log, error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof HTTPException && error.status === 400) {
    return new Failure("request.invalid", "the body is not JSON; send one JSON object");
  }
  log.error("a request failed", { error: describeError(error) });
  const problem = databaseProblem(error);
  if (problem !== null) return new Failure("database.unavailable", problem);
  return new Failure("internal", "internal error; the control plane's log has the details");
}

/** The chain of causes and the stack, without the parameters of a query, because these may be secrets. */
function describeError(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause !== undefined; cause = cause instanceof Error ? cause.cause : undefined) {
    messages.push(String(cause).replace(/\nparams: [^]*$/, ""));
  }
  const where = error instanceof Error ? (error.stack ?? "").split("\n").filter((line) => /^ {4}at /.test(line)) : [];
  return [...messages, ...where].join("\n");
}

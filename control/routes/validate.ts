import type { Context, Next } from "hono";
import { validator } from "hono-openapi";
import type * as z from "zod";
import { Failure, type Issue } from "../../shared/failure.ts";
import { leafIssues, type RawIssue } from "../../shared/issues.ts";

/** Middleware: the body must be JSON of this schema. The route reads it with `context.req.valid("json")`. */
export function body<Schema extends z.ZodType>(schema: Schema) {
  return validator("json", schema, throwIfInvalid, { options: { io: "input" } } as object);
}

/** As `body`, for the query string. */
export function query<Schema extends z.ZodType>(schema: Schema) {
  return validator("query", schema, throwIfInvalid, { options: { io: "input" } } as object);
}

/** Middleware for actions without a body: only an empty one or `{}` is accepted. */
export async function requireEmptyBody(context: Context, next: Next): Promise<void> {
  const text = (await context.req.text()).trim();
  if (text !== "" && !/^\{\s*\}$/.test(text)) throw new Failure("request.invalid", "this action takes no body");
  await next();
}

/** Middleware: rejects a body whose content type is not JSON, with that reason instead of a parser's error. */
export async function requireJson(context: Context, next: Next): Promise<void> {
  const { method } = context.req;
  const type = context.req.header("content-type");
  const hasBody =
    (context.req.header("content-length") ?? "0") !== "0" || context.req.header("transfer-encoding") !== undefined;
  const mustBeJson = hasBody || type !== undefined;
  if (mustBeJson && /^(POST|PUT|PATCH)$/.test(method) && !/^application\/([\w.-]+\+)?json\b/i.test(type ?? "")) {
    throw new Failure(
      "request.invalid",
      `the content type is ${type ?? "missing"}; send JSON with \`content-type: application/json\``,
    );
  }
  await next();
}

interface ValidationResult {
  readonly success: boolean;
  readonly error?: readonly RawIssue[];
}

function throwIfInvalid(result: ValidationResult): void {
  if (result.success) return;
  const issues = (result.error ?? []).flatMap(toIssues);
  const first = issues[0];
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  const message =
    first === undefined
      ? "the request is not valid"
      : `${first.path.join(".") || "the request"}: ${first.message}${more}`;
  throw new Failure("request.invalid", message, issues);
}

function toIssues(issue: RawIssue): Issue[] {
  return leafIssues(issue).map(({ path, message, unknownKey }) => ({
    path: [...path],
    message: unknownKey === null ? message : `unknown key "${unknownKey}"; remove it, or check its spelling`,
  }));
}

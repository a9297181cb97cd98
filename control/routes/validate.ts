import type { Context, Next } from "hono";
import { validator } from "hono-openapi";
import type * as z from "zod";
import { Failure, type Issue } from "../../shared/failure.ts";

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

/** A Standard Schema issue, with the additional fields of zod's issues. */
interface RawIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  readonly code?: string;
  readonly keys?: readonly string[];
  /** Of a union: the issues of each branch. */
  readonly errors?: readonly (readonly RawIssue[])[];
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
  const path = (issue.path ?? []).map((part) => toPart(typeof part === "object" ? part.key : part));
  const branch = closestBranch(issue);
  if (branch !== null) {
    return branch.flatMap(toIssues).map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
  }
  if (issue.code === "unrecognized_keys" && issue.keys !== undefined) {
    return issue.keys.map((key) => ({
      path,
      message: `unknown key "${key}"; remove it, or check its spelling`,
    }));
  }
  const missing = /^Invalid input: expected (.+), received undefined$/.exec(issue.message)?.[1];
  return [{ path, message: missing === undefined ? issue.message : `is required (${missing})` }];
}

/**
 * The issues of the union branch that was most likely meant: the one that knows most of the keys. Null when none comes
 * near; then the issue of the union itself is reported.
 */
function closestBranch({ code, errors = [] }: RawIssue): readonly RawIssue[] | null {
  if (code !== "invalid_union") return null;
  const near = errors.filter((issues) => !issues.some((issue) => issue.code === "invalid_type" && !issue.path?.length));
  return near.toSorted((one, other) => distance(one) - distance(other))[0] ?? null;
}

function distance(issues: readonly RawIssue[]): number {
  return issues.reduce((sum, { keys, path = [], code }) => {
    const isOtherKind = code === "invalid_value" && path.length === 1 && path[0] === "kind";
    return sum + (isOtherKind ? 100 : 60 * (keys?.length ?? 0) + 1);
  }, 0);
}

function toPart(key: PropertyKey): string | number {
  return typeof key === "symbol" ? String(key) : key;
}

import * as z from "zod";

/** Nouns of the API whose objects can be looked up, and so can be missing. */
const nouns = [
  "hosts",
  "contracts",
  "repositories",
  "bindings",
  "runs",
  "snapshots",
  "channels",
  "deliveries",
  "tokens",
  "enrollments",
  "catalog",
  "proposals",
  "incidents",
] as const;
export type Noun = (typeof nouns)[number];

/** Those whose names are unique, and so can be taken. */
const namedNouns = ["hosts", "contracts", "repositories", "bindings", "channels", "tokens"] as const;
export type NamedNoun = (typeof namedNouns)[number];

/** Those that something can depend on, and so can't always be deleted. */
const usedNouns = ["hosts", "contracts", "repositories", "bindings"] as const;
export type UsedNoun = (typeof usedNouns)[number];

/** Every code the HTTP API can answer with. The table to HTTP statuses is in control/routes/failures.ts. */
export const ApiCode = z.enum([
  ...nouns.map((noun) => `${noun}.not_found` as const),
  ...namedNouns.map((noun) => `${noun}.name_taken` as const),
  ...usedNouns.map((noun) => `${noun}.in_use` as const),
  "request.invalid",
  "request.too_large",
  "request.conflict",
  "request.quota_exceeded",
  "route.not_found",
  "auth.required",
  "auth.scope_too_small",
  "auth.host_revoked",
  "auth.clock_wrong",
  "auth.jwt_used",
  "auth.throttled",
  "auth.host_cloned",
  "enrollments.token_refused",
  "bindings.contract_read_only",
  "contracts.declared_on_host",
  "bindings.declared_on_host",
  "repositories.declared_on_host",
  "bindings.already_bound",
  "runs.already_finished",
  "database.unavailable",
  "database.tampered",
  "internal",
]);
export type ApiCode = z.infer<typeof ApiCode>;

export const Issue = z.object({
  path: z.array(z.union([z.string(), z.number()])).describe("where in the request, from the outside in"),
  message: z.string().describe("what is wrong there and what to do"),
});
export type Issue = z.infer<typeof Issue>;

export const ErrorBody = z.object({
  error: z.object({ code: ApiCode, message: z.string(), issues: z.array(Issue).optional() }),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

/** An expected error with a code and facts: thrown by the domain, mapped to a status only in the routes. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: ApiCode;
  readonly issues: Issue[];
  /** When the same request may be sent again; null: nothing to wait for. */
  readonly retryAfterSeconds: number | null;

  constructor(
    code: ApiCode,
    message: string,
    issues: Issue[] = [],
    facts: { readonly retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.issues = issues;
    this.retryAfterSeconds = facts.retryAfterSeconds ?? null;
  }
}

/** Why a run failed: a code for people and programs. */
export const RunFailureCode = z.enum([
  "engine.missing",
  "engine.unsupported",
  "engine.refused",
  "engine.crashed",
  "engine.failed",
  "repository.missing",
  "repository.swapped",
  "repository.wrong_passphrase",
  "repository.locked",
  "repository.unreachable",
  "repository.full",
  "repository.damaged",
  "repository.append_only",
  "secret.unreadable",
  "source.missing",
  "source.empty",
  "source.unreadable",
  "source.unmounted",
  "source.shrunk",
  "consistency.failed",
  "dump.failed",
  "database.failed",
  "hook.missing",
  "hook.failed",
  "hook.timed_out",
  "user.unavailable",
  "policy.refused",
  "policy.approval_needed",
  "binding.unknown",
  "snapshot.missing",
  "snapshot.not_listed",
  "restore.incomplete",
  "restore.nothing_matched",
  "run.timed_out",
  "run.cancelled",
  "run.interrupted",
  "run.expired",
  "run.busy",
  "host.failed",
]);
export type RunFailureCode = z.infer<typeof RunFailureCode>;

export const RunFailure = z.object({
  code: RunFailureCode,
  message: z.string().max(4096).describe("what happened, and to what"),
  next: z.string().max(1024).describe("what a person can do about it"),
});
export type RunFailure = z.infer<typeof RunFailure>;

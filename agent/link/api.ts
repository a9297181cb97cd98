import type * as z from "zod";
import { SignedAssignment, SignedOrders } from "../../shared/assignment.ts";
import { DeclarationsResult, type Declarations } from "../../shared/declaration.ts";
import { SignedProbes } from "../../shared/catalog.ts";
import type { Detection } from "../../shared/catalog.ts";
import { CHAIN_HEAD_HEADER } from "../../shared/checkpoint.ts";
import { CLOCK_HEADER } from "../../shared/clock-skew.ts";
import { SignedDeliveries } from "../../shared/relay.ts";
import type { RelayResult } from "../../shared/relay.ts";
import { ErrorBody } from "../../shared/failure.ts";
import type { Escrow } from "../../shared/escrow.ts";
import type { EnrollRequest, HostFacts } from "../../shared/host.ts";
import { readRetryAfter } from "../../shared/outgoing.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { type AgentInstance, formatInstance, INSTANCE_HEADER } from "../../shared/instance.ts";
import { ANSWERS_HEADER, ANSWERS_USER } from "../../shared/protocol.ts";
import { ReportsAccepted } from "../../shared/report.ts";
import type { Report } from "../../shared/report.ts";
import { openClockOffset } from "./clock-offset.ts";
import type { AgentConfig } from "../config.ts";
import { mintToken } from "./identity.ts";
import type { Identity } from "./identity.ts";
import { parseJson } from "../../shared/json.ts";

/**
 * `offline`: no usable answer, try again later. `revoked`: the control plane no longer accepts this host. `rejected`: a
 * retry would fail in the same way.
 */
export type ApiErrorKind = "offline" | "revoked" | "rejected";

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly kind: ApiErrorKind;
  readonly status: number | null;
  readonly code: string | null;
  /** When the control plane asks to try again; 0 when it does not say. */
  readonly retryAfterSeconds: number;

  constructor(
    kind: ApiErrorKind,
    message: string,
    facts: { status?: number; code?: string | undefined; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.kind = kind;
    this.status = facts.status ?? null;
    this.code = facts.code ?? null;
    this.retryAfterSeconds = facts.retryAfterSeconds ?? 0;
  }
}

/** The agent API as this host. Every call may throw an ApiError. */
export interface Api {
  putFacts(facts: HostFacts): Promise<void>;
  putDeclarations(declarations: Declarations): Promise<DeclarationsResult>;
  /** @param revision the one we have. @returns the newer assignment's JWS, or null when there is none */
  getAssignment(revision: number | null): Promise<string | null>;
  /** @returns the JWS of every order that is still open, and of the control plane's next key while there is one */
  getOrders(): Promise<z.infer<typeof SignedOrders>>;
  /** Replaces this host's key. @param proof a JWS by the new one */
  putKey(proof: string): Promise<void>;
  /** @returns the JWS of the services to look for */
  getProbes(): Promise<string>;
  /** @returns the JWS of every notification to be sent from this host now */
  getRelayedDeliveries(): Promise<string[]>;
  postRelayResults(outcomes: RelayResult[]): Promise<void>;
  putDetections(detections: Detection[]): Promise<void>;
  putEscrows(escrows: Escrow[]): Promise<void>;
  /** @returns the ids the control plane has stored */
  postReports(reports: Report[]): Promise<Id[]>;
  /** URL and headers for the WebSocket, signed for each call. */
  socket(): Promise<{ url: string; headers: Record<string, string> }>;
  /**
   * Milliseconds the control plane's clock is ahead of ours, from its last answer and any change of ours since. 0 below
   * two seconds.
   */
  clockOffset(): number;
}

export interface ApiDeps {
  config: AgentConfig;
  identity: Identity;
  /** Reads the host's key again: another process may have replaced it. */
  reloadIdentity?: () => Promise<Identity | null>;
  clock: { now(): number };
  random: (bytes: number) => Uint8Array;
  /**
   * Milliseconds since boot, suspended time included. Without it, a changed clock is noticed only with the next answer.
   */
  uptime?: () => number;
  /** Gets the JWS of the newest entry of the control plane's audit. */
  onChainHead?: (jws: string) => Promise<void>;
  /** The process that speaks; null: a command, before any daemon ran here. */
  instance?: (AgentInstance & { confirm?(): Promise<void> }) | null;
}

const RESPONSE_TIMEOUT_MS = 30_000;
/** The slowest line that reports must still get through: a modem's. */
const SLOWEST_BYTES_PER_SECOND = 4_000;

/**
 * Errors that a new token gets over: ours was made by a wrong clock, or something in between sent the request twice.
 */
const NEEDS_NEW_TOKEN: ReadonlySet<string | null> = new Set(["auth.clock_wrong", "auth.jwt_used"]);

export function openApi(deps: ApiDeps): Api {
  const offset = openClockOffset(deps);
  const { instance = null } = deps;
  const named = instance === null ? {} : { [INSTANCE_HEADER]: formatInstance(instance) };
  let { identity } = deps;
  /** @returns whether there is another key now */
  const hasNewKey = async (): Promise<boolean> => {
    const found = (await deps.reloadIdentity?.().catch(() => null)) ?? identity;
    const isNew = found.publicKey !== identity.publicKey;
    identity = found;
    return isNew;
  };
  const authorization = async (): Promise<string> => {
    const now = deps.clock.now() + offset.now();
    return `Bearer ${await mintToken(identity, deps.config, { now, random: deps.random })}`;
  };
  const call = async (
    method: string,
    path: string,
    more: { body?: unknown; headers?: Record<string, string> } = {},
  ) => {
    for (let attempt = 1; ; attempt++) {
      const bearer = await authorization();
      const sentAt = deps.clock.now();
      const headers = { ...more.headers, ...named, authorization: bearer, [CLOCK_HEADER]: instant(sentAt) };
      const answer = await send(endpointUrl(deps.config.url, path), { method, headers, body: more.body });
      offset.update(answer.headers.get("date"), sentAt);
      if (answer.ok || answer.status === 304) {
        await instance?.confirm?.();
        return answer;
      }
      const error = await errorOf(answer);
      if (attempt > 1) throw error;
      if (NEEDS_NEW_TOKEN.has(error.code) || (error.code === "auth.required" && (await hasNewKey()))) continue;
      throw error;
    }
  };
  return {
    async putFacts(facts) {
      await call("PUT", "facts", { body: facts });
    },
    async putDeclarations(declarations) {
      return await bodyOf(DeclarationsResult, await call("PUT", "declarations", { body: declarations }));
    },
    async getAssignment(revision) {
      const headers = revision === null ? {} : { "if-none-match": `"${revision}"` };
      const answer = await call("GET", "assignment", { headers });
      return answer.status === 304 ? null : (await bodyOf(SignedAssignment, answer)).jws;
    },
    async getOrders() {
      const answer = await call("GET", "orders");
      const head = answer.headers.get(CHAIN_HEAD_HEADER);
      if (head !== null) await deps.onChainHead?.(head);
      return await bodyOf(SignedOrders, answer);
    },
    async putKey(proof) {
      await call("PUT", "key", { body: { proof } });
    },
    async getProbes() {
      return (await bodyOf(SignedProbes, await call("GET", "probes"))).jws;
    },
    async getRelayedDeliveries() {
      return (await bodyOf(SignedDeliveries, await call("GET", "deliveries"))).deliveries;
    },
    async postRelayResults(outcomes) {
      await call("POST", "deliveries", { body: { outcomes } });
    },
    async putDetections(detections) {
      await call("PUT", "detections", { body: { detections } });
    },
    async putEscrows(escrows) {
      await call("PUT", "escrows", { body: { escrows } });
    },
    async postReports(reports) {
      return (await bodyOf(ReportsAccepted, await call("POST", "reports", { body: { reports } }))).accepted;
    },
    async socket() {
      const url = endpointUrl(deps.config.url, "socket").replace(/^http/, "ws");
      const clock = instant(deps.clock.now());
      return {
        url,
        headers: {
          ...named,
          authorization: await authorization(),
          [CLOCK_HEADER]: clock,
          [ANSWERS_HEADER]: ANSWERS_USER,
        },
      };
    },
    clockOffset: offset.now,
  };
}

/** Enrols this host. @returns the JWS of the enrolment, not yet verified */
export async function postEnrolment(url: string, request: z.input<typeof EnrollRequest>): Promise<string> {
  const answer = await send(endpointUrl(url, "enroll"), { method: "POST", headers: {}, body: request });
  if (!answer.ok) throw await errorOf(answer);
  return (await bodyOf(SignedAssignment, answer)).jws;
}

/**
 * How long a request may take, in ms: 30 s, plus what a slow line needs for the body. A fixed 30 s would make a host
 * with many reports on a slow line retry for ever.
 * @param size of the body, in characters
 */
export function requestTimeoutMs(size: number): number {
  return RESPONSE_TIMEOUT_MS + Math.ceil((size / SLOWEST_BYTES_PER_SECOND) * 1000);
}

function endpointUrl(url: string, path: string): string {
  return `${url.replace(/\/+$/, "")}/agent/v1/${path}`;
}

async function send(
  url: string,
  request: { method: string; headers: Record<string, string>; body?: unknown },
): Promise<Response> {
  const body = request.body === undefined ? null : JSON.stringify(request.body);
  const timeoutMs = requestTimeoutMs(body?.length ?? 0);
  try {
    return await fetch(url, {
      method: request.method,
      headers: body === null ? request.headers : { ...request.headers, "content-type": "application/json" },
      body,
      // A signature for one origin is never sent to another.
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new ApiError("offline", `${new URL(url).origin} does not answer: ${causeOf(error, timeoutMs)}`);
  }
}

async function bodyOf<T>(schema: z.ZodType<T>, answer: Response): Promise<T> {
  const text = await textOf(answer);
  const body = schema.safeParse(parseJson(text));
  if (body.success) return body.data;
  // Something in between answered (a captive portal, say). That is temporary, so reports are kept.
  const message = `${answer.url} answered something that is not Holdfast's: is the address right, and the agent not too old?`;
  throw new ApiError("offline", message, { status: answer.status });
}

async function errorOf(answer: Response): Promise<ApiError> {
  const body = ErrorBody.safeParse(parseJson(await textOf(answer)));
  const code = body.data?.error.code;
  const retryAfterSeconds = readRetryAfter(answer.headers.get("retry-after"), Date.now());
  const facts = { status: answer.status, code, retryAfterSeconds };
  const message = body.data?.error.message ?? `${answer.url} answered ${answer.status}`;
  const location = answer.headers.get("location");
  if (answer.status >= 300 && answer.status < 400 && location !== null) {
    return new ApiError("rejected", `${answer.url} sends on to ${location}: enrol with that address`, facts);
  }
  if (code === "auth.host_revoked") return new ApiError("revoked", message, facts);
  const isTemporary = answer.status >= 500 || answer.status === 408 || answer.status === 429;
  // A proxy that has lost its control plane answers 404 with a page of its own. That is temporary.
  return new ApiError(
    isTemporary || (code === undefined && answer.status !== 413) ? "offline" : "rejected",
    message,
    facts,
  );
}

/** Far more than an assignment of thousands of contracts. An answer without end must not fill the memory. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

async function textOf(answer: Response): Promise<string> {
  try {
    const text = await boundedTextOf(answer);
    if (text !== null) return text;
    throw new Error(`it is longer than ${MAX_ANSWER_BYTES} bytes`);
  } catch (error) {
    throw new ApiError("offline", `the answer of ${answer.url} broke off: ${causeOf(error, RESPONSE_TIMEOUT_MS)}`);
  }
}

/** @returns null when it is too long; the rest is not read then */
async function boundedTextOf({ body }: Response): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Breaking off closes the connection.
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) return null;
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

function causeOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${Math.round(timeoutMs / 1000)} s`;
  const cause: unknown = error.cause;
  if (!(cause instanceof Error)) return error.message;
  return cause.message === "" && "code" in cause ? String(cause.code) : cause.message;
}

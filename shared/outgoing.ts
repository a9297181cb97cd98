import * as z from "zod";

/** One HTTP request to another service, ready to be sent by the agent or the control plane. */
export const OutgoingRequest = z.strictObject({
  method: z.enum(["GET", "POST", "PUT"]),
  url: z.url({ protocol: /^https?$/ }),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
});
export type OutgoingRequest = z.infer<typeof OutgoingRequest>;

/** All that is used of an answer: its body is never read. */
export interface OutgoingAnswer {
  readonly status: number;
  /** How long a receiver asks to wait before the next request; 0 when it does not say. */
  readonly retryAfterSeconds?: number;
}

const MAX_RETRY_AFTER_SECONDS = 86_400;

/**
 * @param value the header `retry-after`: seconds, or a date
 * @returns seconds, at most a day; 0 when it is missing or invalid
 */
export function readRetryAfter(value: string | null | undefined, now: number): number {
  if (value === null || value === undefined || value === "") return 0;
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 0), MAX_RETRY_AFTER_SECONDS) : 0;
}

import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { OutgoingRequest } from "./outgoing.ts";

/** One notification that a host's agent sends in the control plane's place, from where it is. Payload of a JWS. */
export const Errand = z.strictObject({
  id: Id.describe("the delivery's: the same however often it is given out"),
  host: Id,
  lease: Id.describe("of this time it was given out; what came of it is said with it"),
  issuedAt: Instant,
  expiresAt: Instant.describe("from then on it may be given out again"),
  request: OutgoingRequest,
});
export type Errand = z.infer<typeof Errand>;

/** `GET /agent/v1/deliveries` → what is to be sent now. */
export const SignedErrands = z.object({ deliveries: z.array(z.string()) });

export const ErrandOutcome = z.strictObject({
  id: Id,
  lease: Id,
  status: z.int().min(100).max(999).nullable().describe("of the answer; null when there was none"),
  error: z.string().max(500).nullable().describe("why there was none; never what somebody answered"),
  retryAfterSeconds: z.int().min(0).max(86_400).default(0),
});
export type ErrandOutcome = z.infer<typeof ErrandOutcome>;

/** `POST /agent/v1/deliveries` */
export const ErrandOutcomes = z.strictObject({ outcomes: z.array(ErrandOutcome).min(1).max(100) });

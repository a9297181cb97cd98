import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { OutgoingRequest } from "./outgoing.ts";

/** One notification that a host's agent sends for the control plane, from its own network. Payload of a JWS. */
export const RelayedDelivery = z
  .strictObject({
    id: Id.describe("the delivery's id: the same on every attempt"),
    host: Id,
    lease: Id.describe("of this attempt; the result has to name it"),
    issuedAt: Instant,
    expiresAt: Instant.describe("after this it may be relayed again"),
    sealed: z.string().optional().describe("the request as JSON, sealed to the host's age key: it holds secrets"),
    request: OutgoingRequest.optional().describe("in clear, only for an agent of version 0.1, which has no age key"),
  })
  .refine(({ sealed, request }) => (sealed === undefined) !== (request === undefined), {
    error: "must have either sealed or request",
  });
export type RelayedDelivery = z.infer<typeof RelayedDelivery>;

/** `GET /agent/v1/deliveries` → the notifications to be sent now. */
export const SignedDeliveries = z.object({ deliveries: z.array(z.string()) });

export const RelayResult = z.strictObject({
  id: Id,
  lease: Id,
  status: z.int().min(100).max(999).nullable().describe("the answer's HTTP status; null when there was none"),
  error: z.string().max(500).nullable().describe("why there was none; never the answer's body"),
  retryAfterSeconds: z.int().min(0).max(86_400).default(0),
});
export type RelayResult = z.infer<typeof RelayResult>;

/** `POST /agent/v1/deliveries`. */
export const RelayResults = z.strictObject({ outcomes: z.array(RelayResult).min(1).max(100) });

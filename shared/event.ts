import * as z from "zod";
import { Id, Instant } from "./ids.ts";

/** Every type of notification this version sends. The names are promises; the list only grows. */
export const EventType = z.enum([
  "run.failed",
  "run.warned",
  "run.recovered",
  "repository.check_failed",
  "source.suspicious",
  "host.policy_refused",
  "host.declaration_faults",
  "channel.test",
  "backup.late",
  "backup.stuck",
  "backup.unprotected",
  "backup.recovered",
  "source.recovered",
  "repository.unreachable",
  "repository.recovered",
  "host.offline",
  "host.online",
  "host.clock_wrong",
  "host.clock_right",
  "host.trouble",
  "host.trouble_over",
  "host.approval_needed",
  "host.approval_given",
  "host.quota_exceeded",
  "host.quota_kept",
  "host.cloned",
  "host.clone_gone",
  "host.declaration_refused",
  "host.declaration_accepted",
  "control.row_refused",
  "control.row_right",
  "incident.reminder",
  "incident.flapping",
  "incident.digest",
]);
export type EventType = z.infer<typeof EventType>;

/** The body of a webhook (Standard Webhooks 1.0). */
export const Event = z.object({ type: EventType, timestamp: Instant, data: z.record(z.string(), z.unknown()) });
export type Event = z.infer<typeof Event>;

export const DeliveryState = z.enum(["pending", "delivered", "failed", "held", "digested"]);

export const Delivery = z.strictObject({
  id: Id.describe("also the `webhook-id`: the same on every attempt"),
  channel: Id,
  incident: Id.nullable().describe("that it is about, if any"),
  type: EventType,
  state: DeliveryState,
  attempts: z.int(),
  nextAttemptAt: Instant.nullable(),
  lastStatus: z.int().nullable().describe("the HTTP status of the last answer"),
  lastError: z.string().nullable().describe("why the last attempt failed; never the answer's body"),
  payload: Event,
  createdAt: Instant,
  deliveredAt: Instant.nullable(),
});
export type Delivery = z.infer<typeof Delivery>;

import * as z from "zod";
import { Id, Instant, Name } from "./ids.ts";

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
]);
export type EventType = z.infer<typeof EventType>;

/** The body of a webhook (Standard Webhooks 1.0). */
export const Event = z.object({ type: EventType, timestamp: Instant, data: z.record(z.string(), z.unknown()) });
export type Event = z.infer<typeof Event>;

const WebhookUrl = z.url({ protocol: /^https?$/, error: "must be an http:// or https:// address" }).max(2048);
const subscription = z.array(EventType).nullable().default(null).describe("which events; null: all");

export const CreateChannel = z.strictObject({
  name: Name,
  kind: z.literal("webhook"),
  url: WebhookUrl,
  events: subscription,
  enabled: z.boolean().default(true),
});
export type CreateChannel = z.infer<typeof CreateChannel>;

export const ChangeChannel = z
  .strictObject({ name: Name, url: WebhookUrl, events: z.array(EventType).nullable(), enabled: z.boolean() })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeChannel = z.infer<typeof ChangeChannel>;

export const Channel = z.strictObject({
  id: Id,
  name: Name,
  kind: z.literal("webhook"),
  url: z.string(),
  events: z.array(EventType).nullable(),
  enabled: z.boolean(),
  createdAt: Instant,
  changedAt: Instant,
});
export type Channel = z.infer<typeof Channel>;

/** The signing secret (`whsec_…`) is shown here once. */
export const ChannelCreated = Channel.extend({ secret: z.string() });

export const DeliveryState = z.enum(["pending", "delivered", "failed"]);

export const Delivery = z.strictObject({
  id: Id.describe("also the `webhook-id`: the same on every attempt"),
  channel: Id,
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

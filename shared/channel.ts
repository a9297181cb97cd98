import * as z from "zod";
import { EventType } from "./event.ts";
import { isTimeZone } from "./time-zone.ts";
import { Id, Instant, Label, Name } from "./ids.ts";

const Address = z
  .url({ protocol: /^https?$/, error: "must be an http:// or https:// address" })
  .max(2048)
  .refine((text) => !/^[^/?#]*:\/\/[^/?#]*@/.test(text), "must not carry a user or password: they would be shown");
const secret = z.string().min(1).max(4096);
const token = z.string().regex(/^[!-~]{1,4096}$/, "must be printable ASCII without spaces");
const plain = z.string().min(1).max(1024);
const topic = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -");

/** The secret that signs webhooks: `whsec_`, and 24 to 64 bytes in base64. */
export const WebhookSecret = z
  .string()
  .max(128)
  .refine((secret) => {
    const [, coded, fill = ""] = /^whsec_((?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{0,3})(={0,2})$/.exec(secret) ?? [];
    const bytes = Math.floor(((coded?.length ?? 0) * 3) / 4);
    return coded !== undefined && (coded.length + fill.length) % 4 === 0 && bytes >= 24 && bytes <= 64;
  }, "must be whsec_ and 24 to 64 bytes in base64: `openssl rand -base64 32` makes some");

/** What each kind of channel needs to send. One file per kind in control/notify/kinds/. */
export const ChannelTarget = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("webhook"), url: Address }),
  z.strictObject({
    kind: z.literal("ntfy"),
    url: Address.default("https://ntfy.sh").describe("the server"),
    topic,
    token: token.nullable().default(null),
  }),
  z.strictObject({ kind: z.literal("gotify"), url: Address.describe("the server"), token }),
  z.strictObject({ kind: z.literal("discord"), url: Address.describe("the webhook's whole address") }),
  z.strictObject({ kind: z.literal("slack"), url: Address.describe("the webhook's whole address") }),
  z.strictObject({
    kind: z.literal("telegram"),
    url: Address.default("https://api.telegram.org").describe("the server"),
    token: token.describe("the bot's"),
    chat: plain.describe("the chat's id, or a channel's @name"),
  }),
  z.strictObject({
    kind: z.literal("matrix"),
    url: Address.describe("the homeserver"),
    room: z
      .string()
      .regex(
        /^![!-~]+$/,
        "must be a room's id, such as !abc:example.org; an alias (#…) has one, in the room's settings",
      )
      .max(255),
    token: token.describe("access token"),
  }),
  z.strictObject({
    kind: z.literal("pushover"),
    url: Address.default("https://api.pushover.net").describe("the server"),
    token: token.describe("the application's"),
    user: token.describe("user or group key"),
  }),
  z.strictObject({
    kind: z.literal("email"),
    server: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,253}$/, "must be a host name or an address")
      .describe("host name of the mail server"),
    port: z.int().min(1).max(65_535).default(587),
    security: z.enum(["starttls", "tls", "none"]).default("starttls"),
    username: plain.nullable().default(null),
    password: secret.nullable().default(null),
    from: z.email(),
    to: z.array(z.email()).min(1).max(50),
  }),
]);
export type ChannelTarget = z.infer<typeof ChannelTarget>;

export const ChannelKind = z.enum(ChannelTarget.options.map(({ shape }) => shape.kind.value));
export type ChannelKind = z.infer<typeof ChannelKind>;

/**
 * Fields that are never shown again once stored, besides a webhook's signing secret. The webhook address of a chat is a
 * secret itself.
 */
export const SECRET_FIELDS: Readonly<Record<ChannelKind, readonly string[]>> = {
  webhook: [],
  ntfy: ["token"],
  gotify: ["token"],
  discord: ["url"],
  slack: ["url"],
  telegram: ["token"],
  matrix: ["token"],
  pushover: ["token", "user"],
  email: ["password"],
};

/** From `from` until `to` nothing is sent: one digest follows at the end. */
export const QuietHours = z
  .strictObject({
    from: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "must be a time of day such as 22:00"),
    to: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "must be a time of day such as 07:00"),
    zone: z
      .string()
      .max(64)
      .refine(isTimeZone, "must be an IANA time zone, such as UTC or Europe/Berlin")
      .default("UTC"),
  })
  .refine(({ from, to }) => from !== to, {
    path: ["to"],
    error: "must differ from `from`: else it is never quiet, or always",
  });
export type QuietHours = z.infer<typeof QuietHours>;

export const Subscription = z.strictObject({
  events: z.array(EventType).nullable().default(null).describe("which events; null: all"),
  hosts: z.array(Id).max(1000).nullable().default(null).describe("only events that concern these hosts; null: all"),
  labels: z
    .array(Label)
    .max(100)
    .nullable()
    .default(null)
    .describe("only events that concern a host or a binding with one of these; null: all"),
  quietHours: QuietHours.nullable().default(null),
  remindEveryDays: z
    .int()
    .min(1)
    .max(365)
    .nullable()
    .default(3)
    .describe("while an incident is open and not acknowledged; null: never"),
  via: Id.nullable().default(null).describe("a host whose agent relays it; null: the control plane sends it"),
  enabled: z.boolean().default(true),
});
export type Subscription = z.infer<typeof Subscription>;

/** The channel's sending record. From a receiver's answer it has only the status. */
export const ChannelRecord = z.strictObject({
  failures: z.int().describe("attempts in a row that failed"),
  lastStatus: z.int().nullable(),
  lastError: z.string().nullable(),
  lastDeliveredAt: Instant.nullable(),
});

function created<Target extends z.ZodRawShape>(target: z.ZodObject<Target>) {
  return z.strictObject({ ...target.shape, name: Name, ...Subscription.shape });
}

const [webhook, ntfy, gotify, discord, slack, telegram, matrix, pushover, email] = ChannelTarget.def.options;

export const CreateChannel = z.discriminatedUnion("kind", [
  created(webhook).extend({ secret: WebhookSecret.optional().describe("the signing secret; left out: a new one") }),
  created(ntfy),
  created(gotify),
  created(discord),
  created(slack),
  created(telegram),
  created(matrix),
  created(pushover),
  created(email),
]);
export type CreateChannel = z.infer<typeof CreateChannel>;

export const RotateSecret = z.strictObject({
  secret: WebhookSecret.optional().describe("left out: a new one"),
  keepOldSeconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400)
    .describe("how long requests are also signed with the previous secret"),
});
export type RotateSecret = z.infer<typeof RotateSecret>;

/** Missing keys stay as they are. Fields of the target are those of the channel's own kind, which can't be changed. */
export const ChangeChannel = z
  .looseObject({ name: Name, ...Subscription.shape })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeChannel = z.infer<typeof ChangeChannel>;

/** Plus the fields of its target, without secrets. */
export const Channel = z.looseObject({
  id: Id,
  name: Name,
  kind: ChannelKind,
  ...Subscription.shape,
  ...ChannelRecord.shape,
  createdAt: Instant,
  changedAt: Instant,
});
export type Channel = z.infer<typeof Channel>;

/** The only response with a webhook's signing secret (`whsec_…`). */
export const ChannelCreated = z.looseObject({ ...Channel.shape, secret: z.string().optional() });

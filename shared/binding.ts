import * as z from "zod";
import { Id, Instant, Name } from "./ids.ts";
import { parseCalendar, parseTimeSpan } from "./schedule.ts";
import { isTimeZone } from "./time-zone.ts";

const TimeSpan = z.string().superRefine((text, context) => {
  const span = parseTimeSpan(text);
  if (!span.ok) context.addIssue({ code: "custom", message: span.message });
});

const OnCalendar = z.string().superRefine((text, context) => {
  const calendar = parseCalendar(text);
  if (!calendar.ok) {
    context.addIssue({ code: "custom", message: `${calendar.message} (at position ${calendar.position})` });
  }
});

const Zone = z.string().refine(isTimeZone, "must be an IANA time zone, such as UTC or Europe/Berlin");

const keep = z.int().min(0).max(100_000);

export const Retention = z.strictObject({
  keep_last: keep.describe("the newest ones").optional(),
  keep_hourly: keep.describe("the last of each hour, for so many hours").optional(),
  keep_daily: keep.describe("the last of each day, for so many days").optional(),
  keep_weekly: keep.describe("the last of each week, for so many weeks").optional(),
  keep_monthly: keep.describe("the last of each month, for so many months").optional(),
  keep_yearly: keep.describe("the last of each year, for so many years").optional(),
  keep_within: z
    .string()
    .regex(/^(?=.)(\d+y)?(\d+m)?(\d+d)?(\d+h)?$/, "must be a span like 1y2m3d4h (y, m for months, d, h, in this order)")
    .describe("all that are younger than this, counted from the newest")
    .optional(),
});
export type Retention = z.infer<typeof Retention>;

export const DEFAULT_RETENTION: Retention = {
  keep_within: "1d",
  keep_hourly: 24,
  keep_daily: 7,
  keep_weekly: 4,
  keep_monthly: 6,
};

export const TimerConfig = z.strictObject({
  OnCalendar: OnCalendar.default("daily").describe("when, in systemd's calendar language"),
  RandomizedDelaySec: TimeSpan.default("5m").describe("spread: a delay up to this, always the same for one binding"),
  Persistent: z.boolean().default(true).describe("a time missed while the host was off is caught up, once"),
});

const limit = z.int().min(1).nullable().default(null);

/** The names and meanings are Self Host Blocks'. A key left out has its default, inside timerConfig too. */
export const Settings = z.strictObject({
  enable: z.boolean().default(true).describe("false: no scheduled runs; restore still works"),
  timerConfig: TimerConfig.prefault({}).describe("when it runs"),
  zone: Zone.nullable().default(null).describe("IANA time zone of the schedule; null: the host's own"),
  retention: Retention.default(DEFAULT_RETENTION).describe(
    "how long; given, it replaces the default; {}: keep everything",
  ),
  limitUploadKiBs: limit.describe("KiB per second, null: no limit"),
  limitDownloadKiBs: limit.describe("KiB per second, null: no limit"),
  hookTimeLimit: TimeSpan.default("10m").describe("how long one hook may take"),
  runTimeLimit: TimeSpan.default("24h").describe("how long the whole run may take before it is stopped"),
});
export type Settings = z.infer<typeof Settings>;
export type SettingsInput = z.input<typeof Settings>;

export const Health = z.enum(["healthy", "failing", "unprotected", "paused"]);
export type Health = z.infer<typeof Health>;

export const Binding = z.strictObject({
  id: Id,
  name: Name,
  host: Id,
  contract: Id,
  repository: Id,
  settings: Settings,
  paused: z.boolean(),
  health: Health.describe("derived from its runs"),
  lastSuccessAt: Instant.nullable(),
  nextRunAt: Instant.nullable().describe("null when paused or not enabled"),
  createdAt: Instant,
  changedAt: Instant,
});
export type Binding = z.infer<typeof Binding>;

export const CreateBinding = z.strictObject({
  name: Name.optional().describe("default: the contract's name, '-', the repository's name"),
  contract: z.string().min(1).describe("the contract's id"),
  repository: z.string().min(1).describe("the repository's id or name"),
  settings: Settings.prefault({}),
});
export type CreateBinding = z.infer<typeof CreateBinding>;

/** `settings` given here are merged, key by key, over the ones it has. */
export const ChangeBinding = z
  .strictObject({
    name: Name,
    settings: z.strictObject({
      timerConfig: z
        .strictObject({ OnCalendar, RandomizedDelaySec: TimeSpan, Persistent: z.boolean() })
        .partial()
        .optional(),
      enable: z.boolean().optional(),
      zone: Zone.nullable().optional(),
      retention: Retention.optional(),
      limitUploadKiBs: z.int().min(1).nullable().optional(),
      limitDownloadKiBs: z.int().min(1).nullable().optional(),
      hookTimeLimit: TimeSpan.optional(),
      runTimeLimit: TimeSpan.optional(),
    }),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeBinding = z.infer<typeof ChangeBinding>;

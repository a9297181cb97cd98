import * as z from "zod";
import { Environment } from "./environment.ts";
import { Id, Instant, Labels, Name, UndeclaredAt } from "./ids.ts";
import { Result } from "./result.ts";
import { isTimeZone } from "./time-zone.ts";
import { ChangeTimerConfig, TimerConfig, TimeSpan } from "./timer-config.ts";

export const Zone = z.string().refine(isTimeZone, "must be an IANA time zone, such as UTC or Europe/Berlin");

const keep = z.int("must be a whole number, or -1 for all").min(-1, "must be 0 or more, or -1 for all").max(100_000);
// A reason to keep a snapshot has at most 128 characters, and quotes the rule: so spans and tags are bounded.
const span = z
  .string()
  .max(64)
  .regex(/^(?=.)(\d+y)?(\d+m)?(\d+d)?(\d+h)?$/, "must be a span like 1y2m3d4h (y, m for months, d, h, in this order)");
const tags = z
  .string()
  .max(90, "must be at most 90 characters")
  .regex(/^[^,]+(,[^,]+)*$/, "must be one tag, or several with commas between them")
  .refine(
    (text) => !/(^|,)holdfast:/.test(text),
    "must not be Holdfast's own tag: every snapshot of the binding has it",
  );

/** Counts: -1 is all. */
export const Retention = z.strictObject({
  keep_last: keep.describe("the newest ones").optional(),
  keep_secondly: keep.describe("the last of each second, for so many seconds").optional(),
  keep_minutely: keep.describe("the last of each minute, for so many minutes").optional(),
  keep_hourly: keep.describe("the last of each hour, for so many hours").optional(),
  keep_daily: keep.describe("the last of each day, for so many days").optional(),
  keep_weekly: keep.describe("the last of each week, for so many weeks").optional(),
  keep_monthly: keep.describe("the last of each month, for so many months").optional(),
  keep_quarterly: keep.describe("the last of each quarter of a year, for so many quarters").optional(),
  keep_yearly: keep.describe("the last of each year, for so many years").optional(),
  keep_within: span.describe("all that are younger than this, counted from the newest snapshot").optional(),
  keep_within_hourly: span.describe("the last of each hour, of those younger than this").optional(),
  keep_within_daily: span.describe("the last of each day, of those younger than this").optional(),
  keep_within_weekly: span.describe("the last of each week, of those younger than this").optional(),
  keep_within_monthly: span.describe("the last of each month, of those younger than this").optional(),
  keep_within_yearly: span.describe("the last of each year, of those younger than this").optional(),
  keep_tag: z
    .array(tags)
    .max(20)
    .describe("restic only: all that have one of these tags, or all tags of an entry with commas")
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

export const Performance = z.strictObject({
  niceness: z.int().min(-20).max(19).default(15).describe("of the engine's process; 19 is the lowest priority"),
  ioSchedulingClass: z.enum(["idle", "best-effort", "realtime"]).default("best-effort"),
  ioPriority: z.int().min(0).max(7).nullable().default(7).describe("within its class; 7 is the lowest"),
});
export type Performance = z.infer<typeof Performance>;

/** When sources that are much smaller than before count as a fault. */
export const Shrinkage = z.strictObject({
  percent: z
    .int()
    .min(1)
    .max(100)
    .nullable()
    .default(50)
    .describe("how much of the usual size may be missing; null: all of it"),
  action: z
    .enum(["warn", "fail"])
    .default("warn")
    .describe("warn: store it and hold back the retention; fail: store nothing"),
});
export type Shrinkage = z.infer<typeof Shrinkage>;

/** When a notification about a binding is sent. */
export const Alerts = z.strictObject({
  grace: TimeSpan.nullable()
    .default(null)
    .describe("how late a backup may be; null: a fifth of the schedule's interval, from 10 minutes to 24 hours"),
  failures: z.int().min(1).max(100).default(1).describe("notified after this many failed runs in a row"),
});
export type Alerts = z.infer<typeof Alerts>;

/**
 * A dead man's switch of another service, pinged by the agent itself: at the start of a backup, and at its success or
 * failure.
 */
export const Ping = z.strictObject({
  kind: z.enum(["healthchecks", "uptime-kuma"]),
  url: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// address" }).max(2048),
});
export type Ping = z.infer<typeof Ping>;

const limit = z.int().min(1).nullable().default(null);

/** The names and meanings are those of Self Host Blocks. A missing key has its default, inside timerConfig too. */
export const Settings = z.strictObject({
  enable: z.boolean().default(true).describe("false: no scheduled runs; restore still works"),
  timerConfig: TimerConfig.prefault({}).describe("the schedule"),
  zone: Zone.nullable().default(null).describe("IANA time zone of the schedule; null: the host's own"),
  retention: Retention.default(DEFAULT_RETENTION).describe(
    "which snapshots to keep; replaces the default as a whole; {}: keep everything",
  ),
  limitUploadKiBs: limit.describe("KiB per second, null: no limit"),
  limitDownloadKiBs: limit.describe("KiB per second, null: no limit"),
  performance: Performance.prefault({}).describe("CPU and I/O priority of the engine"),
  shrinkage: Shrinkage.prefault({}).describe("what happens when the sources suddenly hold much less than before"),
  alerts: Alerts.prefault({}).describe("when a late or failing backup is notified"),
  pings: z.array(Ping).max(10).default([]).describe("external dead man's switches that the agent pings"),
  hookTimeLimit: TimeSpan.default("10m").describe("how long one hook may take"),
  runTimeLimit: TimeSpan.default("24h").describe("how long the whole run may take before it is stopped"),
  // Missing when it is empty, so that older agents can read what has none.
  environment: Environment.optional(),
});
export type Settings = z.infer<typeof Settings>;
export type SettingsInput = z.input<typeof Settings>;

export const Health = z.enum(["healthy", "late", "failing", "stuck", "unprotected", "paused"]);
export type Health = z.infer<typeof Health>;

export const Binding = z.strictObject({
  id: Id,
  name: Name,
  host: Id,
  contract: Id,
  repository: Id,
  settings: Settings,
  labels: Labels,
  paused: z.boolean(),
  declared: z.boolean().describe("declared by a file on the host, and read-only here"),
  undeclaredAt: UndeclaredAt,
  health: Health.describe("derived from its runs, and from the runs that are missing"),
  lastSuccessAt: Instant.nullable(),
  nextRunAt: Instant.nullable().describe("null when paused or not enabled"),
  lateAt: Instant.nullable().describe(
    "when it becomes late unless a good backup comes before; null when none is expected",
  ),
  result: Result.describe("this binding's command and unit on its host"),
  createdAt: Instant,
  changedAt: Instant,
});
export type Binding = z.infer<typeof Binding>;

export const CreateBinding = z.strictObject({
  name: Name.optional().describe("default: the contract's name, '-', the repository's name"),
  contract: z.string().min(1).describe("the contract's id"),
  repository: z.string().min(1).describe("the repository's id or name"),
  labels: Labels.default([]),
  settings: Settings.prefault({}),
});
export type CreateBinding = z.infer<typeof CreateBinding>;

/** `settings` given here are merged, key by key, into the existing ones. */
export const ChangeBinding = z
  .strictObject({
    name: Name,
    labels: Labels.describe("may be changed here even if a file on the host declares the binding"),
    settings: z.strictObject({
      timerConfig: ChangeTimerConfig.optional(),
      enable: z.boolean().optional(),
      zone: Zone.nullable().optional(),
      retention: Retention.optional(),
      limitUploadKiBs: z.int().min(1).nullable().optional(),
      limitDownloadKiBs: z.int().min(1).nullable().optional(),
      performance: Performance.partial().optional(),
      shrinkage: Shrinkage.partial().optional(),
      alerts: Alerts.partial().optional(),
      pings: z.array(Ping).max(10).optional(),
      hookTimeLimit: TimeSpan.optional(),
      runTimeLimit: TimeSpan.optional(),
      environment: Environment.optional(),
    }),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeBinding = z.infer<typeof ChangeBinding>;

import * as z from "zod";
import { Id, Instant, Labels, Name, UndeclaredAt } from "./ids.ts";
import { Result } from "./result.ts";
import { parseExpression, parseTimeSpan } from "./schedule.ts";
import { isTimeZone } from "./time-zone.ts";

/** Dates beyond this are invalid. */
const LONGEST_SPAN_MS = 10_000 * 366 * 86_400_000;

// Longer texts are not parsed at all: parsers are fast for what people write, not for a megabyte.
const TimeSpan = z
  .string()
  .max(256, { abort: true })
  .superRefine((text, context) => {
    const span = parseTimeSpan(text);
    if (!span.ok) context.addIssue({ code: "custom", message: span.message });
    else if (span.value > LONGEST_SPAN_MS)
      context.addIssue({ code: "custom", message: "must be at most 10,000 years" });
  });

const OnCalendar = z
  .string()
  .max(1024, { abort: true })
  .superRefine((text, context) => {
    const plan = parseExpression(text);
    if (!plan.ok) context.addIssue({ code: "custom", message: `${plan.message} (at position ${plan.position})` });
  });

/** One expression, or several: the earliest match counts. */
export const Schedules = z.union([OnCalendar, z.array(OnCalendar).min(1, "must have at least one expression").max(20)]);

export const Zone = z.string().refine(isTimeZone, "must be an IANA time zone, such as UTC or Europe/Berlin");

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
    .describe("all that are younger than this, counted from the newest snapshot")
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
  OnCalendar: Schedules.default("daily").describe("one or more expressions: systemd's calendar, or cron's five fields"),
  RandomizedDelaySec: TimeSpan.default("5m").describe("each binding starts later by a fixed delay of up to this"),
  Persistent: z.boolean().default(true).describe("if times were missed while the host was off, one run catches up"),
});

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
      timerConfig: z
        .strictObject({ OnCalendar: Schedules, RandomizedDelaySec: TimeSpan, Persistent: z.boolean() })
        .partial()
        .optional(),
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
    }),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeBinding = z.infer<typeof ChangeBinding>;

import * as z from "zod";
import { isRecord } from "./json.ts";
import { parseExpression, parseTimeSpan } from "./schedule.ts";

/** Dates beyond this are invalid. */
const LONGEST_SPAN_MS = 10_000 * 366 * 86_400_000;
/** A repeated backup that starts more often than this would never end. */
const SHORTEST_REPEAT_MS = 60_000;
const MOST = 20;

// Longer texts are not parsed at all: parsers are fast for what people write, not for a megabyte.
const span = (leastMs: number, tooShort: string) =>
  z
    .string()
    .max(256, { abort: true })
    .superRefine((text, context) => {
      const parsed = parseTimeSpan(text);
      if (!parsed.ok) context.addIssue({ code: "custom", message: parsed.message });
      else if (parsed.value > LONGEST_SPAN_MS)
        context.addIssue({ code: "custom", message: "must be at most 10,000 years" });
      else if (parsed.value < leastMs) context.addIssue({ code: "custom", message: tooShort });
    });

export const TimeSpan = span(0, "");

const OnCalendar = z
  .string()
  .max(1024, { abort: true })
  .superRefine((text, context) => {
    const plan = parseExpression(text);
    if (!plan.ok) context.addIssue({ code: "custom", message: `${plan.message} (at position ${plan.position})` });
  });

/** One expression, or several: the earliest match counts. */
export const Schedules = z.union([
  OnCalendar,
  z.array(OnCalendar).min(1, "must have at least one expression").max(MOST),
]);

const Calendars = z.union([OnCalendar, z.array(OnCalendar).max(MOST)]);
const severalOf = (one: typeof TimeSpan) => z.union([one, z.array(one).min(1, "must have at least one").max(MOST)]);
const AfterBoot = severalOf(TimeSpan);
const Repeat = severalOf(span(SHORTEST_REPEAT_MS, "must be at least a minute"));

const fields = {
  OnCalendar: Calendars.describe(
    "one or more expressions: systemd's calendar, or cron's five fields; none if one of the next three is given",
  ),
  OnBootSec: AfterBoot.describe("so long after the machine was started; one span or more"),
  OnUnitActiveSec: Repeat.describe("so long after the start of the last backup; one span or more, at least a minute"),
  OnUnitInactiveSec: Repeat.describe("so long after the end of the last backup; one span or more, at least a minute"),
  RandomizedDelaySec: TimeSpan.describe("each binding starts later by a delay of up to this"),
  FixedRandomDelay: z
    .boolean()
    .describe("true, as if left out: a binding's delay is always the same; false: another one each time"),
  AccuracySec: TimeSpan.describe("accepted and without effect: a backup starts at its time, within seconds"),
  Persistent: z.boolean().describe("if times of OnCalendar were missed while the host was off, one run catches up"),
};

/** What counts from an event, not from the calendar. */
const MONOTONIC = ["OnBootSec", "OnUnitActiveSec", "OnUnitInactiveSec"] as const;

/**
 * The keys of a systemd timer that make sense here; those that say nothing are absent, since hosts before 0.2 refuse
 * keys they do not know. With one of the monotonic keys and no OnCalendar, there is no calendar: `[]`.
 */
export const TimerConfig = z.preprocess(
  (value, context) => withoutDefaultCalendar(withoutUnitKeys(value, context)),
  z
    .strictObject({
      ...fields,
      OnCalendar: fields.OnCalendar.default("daily"),
      OnBootSec: fields.OnBootSec.optional(),
      OnUnitActiveSec: fields.OnUnitActiveSec.optional(),
      OnUnitInactiveSec: fields.OnUnitInactiveSec.optional(),
      RandomizedDelaySec: fields.RandomizedDelaySec.default("5m"),
      FixedRandomDelay: fields.FixedRandomDelay.optional(),
      AccuracySec: fields.AccuracySec.optional(),
      Persistent: fields.Persistent.default(true),
    })
    .superRefine((timer, context) => {
      if (timer.OnCalendar.length === 0 && MONOTONIC.every((key) => timer[key] === undefined))
        context.addIssue({ code: "custom", path: ["OnCalendar"], message: NO_TIME });
    }),
);
export type TimerConfig = z.infer<typeof TimerConfig>;

/** Changed key by key. null removes a key that has no default. */
export const ChangeTimerConfig = z.preprocess(
  withoutUnitKeys,
  z
    .strictObject({
      ...fields,
      OnBootSec: fields.OnBootSec.nullable(),
      OnUnitActiveSec: fields.OnUnitActiveSec.nullable(),
      OnUnitInactiveSec: fields.OnUnitInactiveSec.nullable(),
      FixedRandomDelay: fields.FixedRandomDelay.nullable(),
      AccuracySec: fields.AccuracySec.nullable(),
    })
    .partial(),
);
export type ChangeTimerConfig = z.infer<typeof ChangeTimerConfig>;

const NO_TIME = "must have at least one expression, unless OnBootSec, OnUnitActiveSec or OnUnitInactiveSec says when";

/** Keys of systemd timers that have no meaning here. `unless`: the value that says what happens anyway. */
const UNIT_KEYS: Readonly<Record<string, { unless?: boolean; reason: string }>> = {
  WakeSystem: {
    unless: false,
    reason:
      "a host is never woken from sleep for a backup: it would stay awake afterwards. What it slept through is caught up when it wakes. Remove it",
  },
  OnActiveSec: {
    reason:
      "there is no timer unit that could be activated: write OnBootSec; OnUnitActiveSec alone starts the first backup at once",
  },
  OnStartupSec: { reason: "write OnBootSec: for the system's own services both count from the start of the machine" },
  OnClockChange: { unless: false, reason: "a clock that is set starts no backup: write a time" },
  OnTimezoneChange: { unless: false, reason: "another time zone starts no backup: write a time" },
  RandomizedOffsetSec: { reason: "write RandomizedDelaySec: its delay is a fixed offset of each binding" },
  DeferReactivation: {
    unless: false,
    reason: "what becomes due while a backup runs starts once, right after it: remove it",
  },
  RemainAfterElapse: { unless: true, reason: "a schedule stays for as long as its binding: remove it" },
  Unit: { reason: "a schedule starts its own binding's backup and nothing else: remove it" },
};

export const UNIT_BOOLEANS = Object.entries(UNIT_KEYS).flatMap(([key, { unless }]) =>
  unless === undefined ? [] : [key],
);

function withoutUnitKeys(value: unknown, context: z.RefinementCtx): unknown {
  if (!isRecord(value)) return value;
  const kept = Object.entries(value).filter(([key, given]) => {
    const refused = Object.hasOwn(UNIT_KEYS, key) ? UNIT_KEYS[key] : undefined;
    if (refused === undefined) return true;
    if (refused.unless === undefined || given !== refused.unless)
      context.addIssue({ code: "custom", path: [key], message: refused.reason });
    return false;
  });
  return Object.fromEntries(kept);
}

function withoutDefaultCalendar(value: unknown): unknown {
  if (!isRecord(value) || value["OnCalendar"] !== undefined) return value;
  return MONOTONIC.some((key) => value[key] !== undefined) ? { ...value, OnCalendar: [] } : value;
}

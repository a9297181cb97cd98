import { and, eq } from "drizzle-orm";
import type { Settings } from "../../../shared/binding.ts";
import type { HostFacts } from "../../../shared/host.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import { type ExpectedBackup, nextExpectedAfter } from "../../../shared/lateness.ts";
import { isTimeZone } from "../../../shared/time-zone.ts";
import { delayOf, nextCalendarTime, parseTimer, repeatInterval } from "../../../shared/timer.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { newestRuns } from "../../db/schema/runs.ts";

/** The columns that determine when a binding's next backup is expected. */
export interface ScheduledBinding {
  readonly id: Id;
  readonly settings: Settings;
  readonly paused: boolean;
  readonly createdAt: Instant;
  readonly expectedSince: Instant | null;
  goodAt: Instant | null;
  /** The end of the last backup, good or not; only read for OnUnitInactiveSec. */
  endedAt: Instant | null;
  readonly facts: HostFacts | null;
}

/** For a select from bindings joined with hosts, and with `newestRuns` by `isNewestBackup`. */
export const scheduledBindingColumns = {
  id: bindings.id,
  settings: bindings.settings,
  paused: bindings.paused,
  createdAt: bindings.createdAt,
  expectedSince: bindings.expectedSince,
  goodAt: bindings.goodAt,
  endedAt: newestRuns.decidedAt,
  facts: hosts.facts,
};

/** Joins a binding with what is kept of its newest backups. */
export const isNewestBackup = and(
  eq(newestRuns.subject, bindings.id),
  eq(newestRuns.kind, "backup"),
  eq(newestRuns.host, bindings.host),
);

/** The next backup that is expected after the last good one; null when none is expected. */
export function nextExpectedBackup(row: ScheduledBinding): ExpectedBackup | null {
  if (row.paused || !row.settings.enable) return null;
  const goodMs = row.goodAt === null ? null : Date.parse(row.goodAt);
  return nextExpectedAfter(row, {
    goodMs,
    endedMs: row.endedAt === null ? null : Date.parse(row.endedAt),
    sinceMs: Date.parse(row.expectedSince ?? row.createdAt),
    zone: zoneOf(row.facts),
  });
}

/** The next backup that is expected after an instant (a failed attempt, or now). Ignores missed ones before it. */
export function expectedBackupAfter(row: ScheduledBinding, milliseconds: number): ExpectedBackup | null {
  return nextExpectedBackup({
    ...row,
    goodAt: instant(Math.max(milliseconds, Date.parse(row.goodAt ?? row.createdAt))),
  });
}

/**
 * The start time that a good backup counts with: at most the next scheduled time. A host whose clock is ahead starts a
 * backup early, but must not also count for the one after it.
 */
export function goodBackupAt(
  row: Omit<ScheduledBinding, "goodAt" | "endedAt">,
  startedAt: Instant,
  now: number,
): Instant {
  return instant(Math.min(Date.parse(startedAt), latestStart(row, now)));
}

function latestStart(
  { id, settings, facts }: Pick<ScheduledBinding, "id" | "settings" | "facts">,
  now: number,
): number {
  const timer = parseTimer(settings.timerConfig);
  if (!timer.ok) return now;
  const next = nextCalendarTime(timer.value, id, { afterMs: now, zone: settings.zone ?? zoneOf(facts) });
  if (next === null) return now;
  const interval = repeatInterval(timer.value) ?? Number.POSITIVE_INFINITY;
  return Math.min(next + delayOf(timer.value, id, next), now + interval);
}

export function zoneOf(facts: HostFacts | null): string {
  return facts !== null && isTimeZone(facts.zone) ? facts.zone : "UTC";
}

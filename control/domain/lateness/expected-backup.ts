import type { Settings } from "../../../shared/binding.ts";
import type { HostFacts } from "../../../shared/host.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import { startDelayMs, type ExpectedBackup, nextExpectedAfter } from "../../../shared/lateness.ts";
import { nextInTimetable, parseTimetable } from "../../../shared/schedule.ts";
import { isTimeZone } from "../../../shared/time-zone.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";

/** The columns that determine when a binding's next backup is expected. */
export interface ScheduledBinding {
  readonly id: Id;
  readonly settings: Settings;
  readonly paused: boolean;
  readonly createdAt: Instant;
  readonly expectedSince: Instant | null;
  goodAt: Instant | null;
  readonly facts: HostFacts | null;
}

/** For a select from bindings joined with hosts. */
export const scheduledBindingColumns = {
  id: bindings.id,
  settings: bindings.settings,
  paused: bindings.paused,
  createdAt: bindings.createdAt,
  expectedSince: bindings.expectedSince,
  goodAt: bindings.goodAt,
  facts: hosts.facts,
};

/** The next backup that is expected after the last good one; null when none is expected. */
export function nextExpectedBackup(row: ScheduledBinding): ExpectedBackup | null {
  if (row.paused || !row.settings.enable) return null;
  const goodMs = row.goodAt === null ? null : Date.parse(row.goodAt);
  return nextExpectedAfter(row, {
    goodMs,
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
export function goodBackupAt(row: Omit<ScheduledBinding, "goodAt">, startedAt: Instant, now: number): Instant {
  const timetable = parseTimetable(row.settings.timerConfig.OnCalendar);
  const delayMs = startDelayMs(row);
  const next = timetable.ok
    ? nextInTimetable(timetable.value, now - delayMs, row.settings.zone ?? zoneOf(row.facts))
    : null;
  const latest = next === null ? now : next + delayMs;
  return instant(Math.min(Date.parse(startedAt), latest));
}

export function zoneOf(facts: HostFacts | null): string {
  return facts !== null && isTimeZone(facts.zone) ? facts.zone : "UTC";
}

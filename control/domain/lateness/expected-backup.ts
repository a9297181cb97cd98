import type { Settings } from "../../../shared/binding.ts";
import type { HostFacts } from "../../../shared/host.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import { startDelayMs, type ExpectedBackup, nextExpectedAfter } from "../../../shared/lateness.ts";
import { nextInTimetable, parseTimetable } from "../../../shared/schedule.ts";
import { isTimeZone } from "../../../shared/time-zone.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";

/** What the columns say that it depends on when a binding's next backup has to come. */
export interface ScheduledBinding {
  readonly id: Id;
  readonly settings: Settings;
  readonly paused: boolean;
  readonly createdAt: Instant;
  readonly expectedSince: Instant | null;
  goodAt: Instant | null;
  readonly facts: HostFacts | null;
}

/** Joined with its host. */
export const scheduledBindingColumns = {
  id: bindings.id,
  settings: bindings.settings,
  paused: bindings.paused,
  createdAt: bindings.createdAt,
  expectedSince: bindings.expectedSince,
  goodAt: bindings.goodAt,
  facts: hosts.facts,
};

/** The first backup that has to come after the last good one; null when none is expected. */
export function nextExpectedBackup(row: ScheduledBinding): ExpectedBackup | null {
  if (row.paused || !row.settings.enable) return null;
  const goodMs = row.goodAt === null ? null : Date.parse(row.goodAt);
  return nextExpectedAfter(row, {
    goodMs,
    sinceMs: Date.parse(row.expectedSince ?? row.createdAt),
    zone: zoneOf(row.facts),
  });
}

/** The first that has to come after an attempt, or after now, whatever was missed before. */
export function expectedBackupAfter(row: ScheduledBinding, milliseconds: number): ExpectedBackup | null {
  return nextExpectedBackup({
    ...row,
    goodAt: instant(Math.max(milliseconds, Date.parse(row.goodAt ?? row.createdAt))),
  });
}

/**
 * When a good backup counts as begun. A host whose clock runs ahead does the next time's before that time is there; it has not done
 * the one after that, however far ahead its clock is.
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

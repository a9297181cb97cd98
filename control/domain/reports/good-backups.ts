import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { nextExpectedBackup, goodBackupAt, type ScheduledBinding } from "../lateness/expected-backup.ts";
import { MISSING_BACKUP_INCIDENTS } from "../lateness/lateness.ts";
import { runData, type NamedBinding } from "../run-data.ts";
import { closeIfOpen, type KnownIncidents } from "./incidents.ts";

/**
 * Takes a good backup into account, in memory: `goodAt` and `endedAt` of its binding, and the incidents of missing
 * backups, which it closes.
 * @returns the binding's new `goodAt`, and statements that close; null when a newer backup was good
 */
export function takeGoodBackup(
  deps: Deps,
  known: KnownIncidents,
  host: { readonly id: Id; readonly name: string },
  { binding, run }: { binding: NamedBinding & ScheduledBinding; run: RunReport["run"] },
): { goodAt: Instant; closings: Statement[] } | null {
  const now = deps.clock.now();
  const goodAt = goodBackupAt(binding, run.startedAt ?? instant(now), now);
  if (binding.goodAt !== null && binding.goodAt > goodAt) return null;
  binding.goodAt = goodAt;
  binding.endedAt = run.finishedAt;
  const next = nextExpectedBackup(binding);
  // The report was in the spool for days: this backup is good, but the next one is late already.
  const isLate = next !== null && next.lateAt <= now;
  const ended = MISSING_BACKUP_INCIDENTS.filter(({ kind }) => !isLate || kind === "binding.unprotected");
  const message = `backup ${run.id} ${isLate ? `of ${goodAt} ` : ""}succeeded`;
  const data = runData(run, { binding, repository: binding.repository, host });
  const event = isLate ? null : { type: "backup.recovered" as const, data };
  return {
    goodAt,
    closings: ended.flatMap((what) =>
      closeIfOpen(deps, known, { ...what, host: host.id, binding: binding.id }, { message, event }),
    ),
  };
}

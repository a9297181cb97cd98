import { eq, sql } from "drizzle-orm";
import { instant, type Id } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { bindings } from "../../db/schema/contracts.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { nextExpectedBackup, goodBackupAt, type ScheduledBinding } from "../lateness/expected-backup.ts";
import { closeIncident } from "../incidents/incidents.ts";
import { closeMissingBackupIncidents } from "../lateness/lateness.ts";
import { runData, type NamedBinding } from "../run-data.ts";

/**
 * Statements for the report of a good backup: update `goodAt`, schedule a lateness check, and close incidents of
 * missing backups. Also updates `goodAt` and `endedAt` of the binding in memory.
 */
export function recordGoodBackup(
  deps: Deps,
  host: { readonly id: Id; readonly name: string },
  { binding, run }: { binding: NamedBinding & ScheduledBinding; run: RunReport["run"] },
): Statement[] {
  const now = deps.clock.now();
  const goodAt = goodBackupAt(binding, run.startedAt ?? instant(now), now);
  if (binding.goodAt !== null && binding.goodAt > goodAt) return [];
  binding.goodAt = goodAt;
  binding.endedAt = run.finishedAt;
  const update = deps.db
    .update(bindings)
    .set({ goodAt: sql`max(coalesce(${bindings.goodAt}, ''), ${goodAt})`, alertAt: instant(now) })
    .where(eq(bindings.id, binding.id));
  const next = nextExpectedBackup(binding);
  // The report was in the spool for days: this backup is good, but the next one is late already.
  if (next !== null && next.lateAt <= now) {
    const unprotected = { kind: "binding.unprotected" as const, host: host.id, binding: binding.id };
    return [
      update,
      ...closeIncident(deps, unprotected, { message: `backup ${run.id} of ${goodAt} succeeded`, event: null }),
    ];
  }
  const data = runData(run, { binding, repository: binding.repository, host });
  return [
    update,
    ...closeMissingBackupIncidents(
      deps,
      { id: binding.id, host: host.id },
      { message: `backup ${run.id} succeeded`, data },
    ),
  ];
}

import { sql } from "drizzle-orm";
import type { Id } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import { isGood } from "../../../shared/run.ts";
import { runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { isNotAhead } from "../ids.ts";
import type { NamedBinding } from "../run-data.ts";

/** The newest backup of a binding that checked its sources. */
export interface SourceCheck {
  readonly binding: Id;
  readonly run: Id;
}

/** Reads the newest source check of each binding, in one statement. Backups that failed for other reasons have none. */
export function readSourceChecks(deps: Pick<Deps, "db" | "clock">, bindings: readonly Id[]) {
  const ids = JSON.stringify(bindings);
  const newest = sql`(select ${runs.id} from ${runs} where ${runs.binding} = one.value and ${runs.kind} = 'backup'
    and (${runs.state} in ('succeeded', 'warned') or ${runs.suspicious} is not null)
    and ${isNotAhead(deps)} order by ${runs.id} desc limit 1)`;
  return deps.db
    .select({
      binding: sql<Id>`one.value`,
      run: runs.id,
    })
    .from(sql`json_each(${ids}) as one`)
    .innerJoin(runs, sql`${runs.id} = ${newest}`);
}

/**
 * Updates the source check of the report's binding. Null when the report contains no source check, or is older than
 * the newest one.
 */
export function updateSourceCheck(
  checks: Map<Id, SourceCheck>,
  { run, suspicious }: RunReport,
): { isSuspicious: false } | { isSuspicious: true; reason: string } | null {
  if (run.binding === null || run.kind !== "backup") return null;
  if (!isGood(run.state) && suspicious === null) return null;
  const before = checks.get(run.binding);
  if (before !== undefined && before.run > run.id) return null;
  checks.set(run.binding, { binding: run.binding, run: run.id });
  return suspicious === null ? { isSuspicious: false } : { isSuspicious: true, reason: suspicious };
}

export function suspiciousSourceData(
  { run }: RunReport,
  { binding, host }: { binding: NamedBinding; host: { id: Id; name: string } },
): Record<string, unknown> {
  const { id, state, startedAt, finishedAt, snapshot } = run;
  const { contract, repository } = binding;
  return {
    isStored: snapshot !== null,
    run: { id, state, startedAt, finishedAt },
    binding: { id: binding.id, name: binding.name },
    contract,
    repository,
    host: { id: host.id, name: host.name },
  };
}

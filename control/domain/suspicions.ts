import { sql } from "drizzle-orm";
import type { Id } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import { isGood } from "../../shared/run.ts";
import { runs } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import type { Notice } from "../notify/outbox.ts";
import type { NamedBinding } from "./streaks.ts";

/** How the sources of one binding looked at its newest backup that tells of them. */
export interface Sight {
  readonly binding: Id;
  readonly run: Id;
  readonly isSuspicious: boolean;
}

/** One statement that reads the newest sight of each binding: a backup that failed by something else tells nothing of them. */
export function readSights(deps: Pick<Deps, "db">, bindings: readonly Id[]) {
  const ids = JSON.stringify(bindings);
  const newest = sql`(select ${runs.id} from ${runs} where ${runs.binding} = one.value and ${runs.kind} = 'backup'
    and (${runs.state} in ('succeeded', 'warned') or ${runs.suspicious} is not null) order by ${runs.id} desc limit 1)`;
  return deps.db
    .select({
      binding: sql<Id>`one.value`,
      run: runs.id,
      isSuspicious: sql<boolean>`${runs.suspicious} is not null`.mapWith(Boolean),
    })
    .from(sql`json_each(${ids}) as one`)
    .innerJoin(runs, sql`${runs.id} = ${newest}`);
}

/**
 * Why this report makes a binding's sources suspicious, when they were not before; keeps the sights up to date.
 * @returns null when it does not, and for a backup older than one that told of them already
 */
export function suspicionOf(sights: Map<Id, Sight>, { run, suspicious }: RunReport): string | null {
  if (run.binding === null || run.kind !== "backup") return null;
  if (!isGood(run.state) && suspicious === null) return null;
  const before = sights.get(run.binding);
  if (before !== undefined && before.run > run.id) return null;
  sights.set(run.binding, { binding: run.binding, run: run.id, isSuspicious: suspicious !== null });
  return before?.isSuspicious === true ? null : suspicious;
}

export function suspicionNotice(
  reason: string,
  { run }: RunReport,
  { binding, host }: { binding: NamedBinding; host: { id: Id; name: string } },
): Notice {
  const { id, state, startedAt, finishedAt, snapshot } = run;
  const { contract, repository } = binding;
  return {
    type: "source.suspicious",
    about: { host: host.id, binding: binding.id },
    data: {
      ...{ reason, isStored: snapshot !== null },
      run: { id, state, startedAt, finishedAt },
      binding: { id: binding.id, name: binding.name },
      ...{ contract, repository, host: { id: host.id, name: host.name } },
    },
  };
}

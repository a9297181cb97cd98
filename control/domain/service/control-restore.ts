import { and, desc, eq, inArray, isNull, sql } from "drizzle-orm";
import type { ContractRequest, DatabaseRequest } from "../../../shared/contract.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { enrollments, hosts } from "../../db/schema/hosts.ts";
import { orders, runs } from "../../db/schema/runs.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

/** The snapshot that a control plane's database came back from. */
export interface ControlRestoreSource {
  readonly host: Id;
  readonly binding: Id;
  readonly snapshot: string;
  readonly takenAt: Instant;
  /** Where that repository is now, when it is somewhere else than before. */
  readonly moved: { readonly repository: Id; readonly location: string } | null;
  /** Where its own files are put together for a backup from now on, and by whom. */
  readonly staging: { readonly directory: string; readonly user: string };
}

/**
 * Makes a database that is older than what the hosts have seen since fit to go on with, in one batch:
 * - every host's revision becomes newer than any it can have: it counts seconds since 1970 from now on, and no host gets a new
 *   assignment every second;
 * - orders and enrolment tokens end: they may have been done and used since;
 * - runs that had not ended, as far as it knows, are `interrupted`, and those that had not begun `cancelled`, which a report that
 *   still comes overrides. The backup that it was restored from is known to have made its snapshot;
 * - no backup is late that may have been made since: only those that are due from now on are missed;
 * - the contract it is kept by names the directory and the user that it has from now on;
 * - deliveries stay as they are: one that was through already is sent once more, under the same id.
 * @returns how many hosts it knows
 */
export async function adaptRestoredDatabase(
  { db, clock }: Pick<Deps, "db" | "clock">,
  from: ControlRestoreSource,
): Promise<{ hosts: number }> {
  const now = clock.now();
  const at = instant(now);
  const open = inArray(runs.state, ["queued", "running"]);
  const itself = db
    .select({ id: runs.id })
    .from(runs)
    .where(and(eq(runs.host, from.host), eq(runs.binding, from.binding), eq(runs.kind, "backup"), open))
    .orderBy(desc(runs.id))
    .limit(1);
  const [contract] = await db
    .select({ id: contracts.id, request: contracts.request })
    .from(contracts)
    .innerJoin(bindings, eq(bindings.contract, contracts.id))
    .where(eq(bindings.id, from.binding));
  const warning = "how it ended was not reported before the control plane was restored from its snapshot";
  await writeAll(db, [
    db.update(hosts).set({ revision: sql`max(${hosts.revision} + 1, ${Math.floor(now / 1000)})` }),
    db.update(orders).set({ closedAt: at }).where(isNull(orders.closedAt)),
    db.update(enrollments).set({ usesLeft: 0 }),
    db.update(bindings).set({ expectedSince: at, alertAt: at }),
    db
      .update(runs)
      .set({ state: "warned", finishedAt: from.takenAt, snapshot: from.snapshot, warnings: [warning] })
      .where(inArray(runs.id, itself)),
    db
      .update(runs)
      .set({
        state: sql`case ${runs.state} when 'queued' then 'cancelled' else 'interrupted' end`,
        finishedAt: at,
        failure: {
          code: "run.interrupted",
          message: `the control plane was restored from its backup of ${from.takenAt}: how this run ended is not known here`,
          next: "Look at the binding's newer runs and snapshots; order it again if it is still wanted.",
        },
      })
      .where(open),
    ...(contract === undefined || !isPlain(contract.request)
      ? []
      : [
          db
            .update(contracts)
            .set({
              request: { ...contract.request, sourceDirectories: [from.staging.directory], user: from.staging.user },
              changedAt: at,
            })
            .where(eq(contracts.id, contract.id)),
        ]),
    ...(from.moved === null
      ? []
      : [
          db
            .update(repositories)
            .set({ location: from.moved.location, changedAt: at })
            .where(eq(repositories.id, from.moved.repository)),
        ]),
  ]);
  const known = await db.select({ id: hosts.id }).from(hosts).where(isNull(hosts.revokedAt));
  return { hosts: known.length };
}

/** As `holdfast start` declared it: what somebody changed is theirs. */
function isPlain(request: ContractRequest | DatabaseRequest): request is ContractRequest {
  return "sourceDirectories" in request && request.sourceDirectories.length === 1;
}

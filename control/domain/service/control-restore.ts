import { and, desc, eq, getTableColumns, inArray, isNotNull, isNull, sql } from "drizzle-orm";
import type { ContractRequest, DatabaseRequest } from "../../../shared/contract.ts";
import { instant, type Id, type Instant } from "../../../shared/ids.ts";
import { changeWithMac, onlyGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { enrollments, hosts } from "../../db/schema/hosts.ts";
import { newestRuns, orders, runs } from "../../db/schema/runs.ts";
import { type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { readMark } from "../../keys/marks.ts";
import { firstFutureId } from "../ids.ts";
import { recountStreaks } from "../runs/streaks.ts";
import { checkpointStatements, headOf } from "./audit-chain.ts";

/** The snapshot that the control plane's database was restored from. */
export interface ControlRestoreSource {
  readonly host: Id;
  readonly binding: Id;
  readonly snapshot: string;
  readonly takenAt: Instant;
  /** The repository's new location, if it has moved. */
  readonly moved: { readonly repository: Id; readonly location: string } | null;
  /** Where the control plane stages its own backup from now on, and the user who does it. */
  readonly staging: { readonly directory: string; readonly user: string };
}

/**
 * Adapts a restored database, which is older than what the hosts have seen since, in one batch:
 * - Revisions become newer than any a host can have: seconds since 1970, because no host gets a new assignment every
 *   second.
 * - Orders and enrolment tokens end: they may have been executed and used since.
 * - Running runs become `interrupted` and queued ones `cancelled`; a later report overrides that. Only the backup that
 *   made the snapshot is known to have succeeded.
 * - Lateness starts fresh: only backups that are due from now on can be late.
 * - The control plane's own contract gets the new staging directory and user.
 * - The audit begins again: a signed checkpoint says after which entry.
 * - Which processes of agents use a host's key is learned anew: they may have been restarted since.
 * - Deliveries stay: one that was delivered since is sent again, under the same id.
 * @returns the number of hosts that are not revoked
 */
export async function adaptRestoredDatabase(
  deps: Pick<Deps, "db" | "clock" | "log" | "signingKey">,
  from: ControlRestoreSource,
): Promise<{ hosts: number }> {
  const { db, clock } = deps;
  const now = clock.now();
  const at = instant(now);
  const open = inArray(runs.state, ["queued", "running"]);
  const itself = db
    .select({ id: runs.id })
    .from(runs)
    .where(and(eq(runs.host, from.host), eq(runs.binding, from.binding), eq(runs.kind, "backup"), open))
    .orderBy(desc(runs.id))
    .limit(1);
  const [[contract], [moved], tokens] = await db.batch([
    db
      .select(getTableColumns(contracts))
      .from(contracts)
      .innerJoin(bindings, eq(bindings.contract, contracts.id))
      .where(eq(bindings.id, from.binding)),
    db
      .select()
      .from(repositories)
      .where(eq(repositories.id, from.moved?.repository ?? "")),
    db.select().from(enrollments),
  ]);
  const warning = "its result was not reported before the control plane was restored from this snapshot";
  const ended: Statement[] = [];
  for (const row of await onlyGenuine(deps, "enrollments", tokens)) {
    const change = await changeWithMac(deps, "enrollments", row, { usesLeft: 0 });
    ended.push(db.update(enrollments).set(change).where(eq(enrollments.id, row.id)));
  }
  await writeAll(db, [
    db.update(hosts).set({
      revision: sql`max(${hosts.revision} + 1, ${Math.floor(now / 1000)})`,
      instances: null,
    }),
    db.update(orders).set({ closedAt: at }).where(isNull(orders.closedAt)),
    ...ended,
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
          message: `the control plane was restored from its backup of ${from.takenAt}: the result of this run is unknown`,
          next: "Check the binding's newer runs and snapshots; order it again if you still need it.",
        },
      })
      .where(open),
    ...(["binding", "repository"] as const).map((of) => {
      const existing = sql`select id from ${of === "binding" ? bindings : repositories}`;
      const which = sql`${newestRuns.running} is not null and ${newestRuns.subject} in (${existing})`;
      return recountStreaks(deps, { of, which, before: firstFutureId(deps) });
    }),
    db.update(newestRuns).set({ running: null }).where(isNotNull(newestRuns.running)),
    ...(contract === undefined || !isPlain(contract.request)
      ? []
      : [
          db
            .update(contracts)
            .set(
              await changeWithMac(deps, "contracts", contract, {
                request: { ...contract.request, sourceDirectories: [from.staging.directory], user: from.staging.user },
                changedAt: at,
              }),
            )
            .where(eq(contracts.id, contract.id)),
        ]),
    ...(from.moved === null || moved === undefined
      ? []
      : [
          db
            .update(repositories)
            .set(await changeWithMac(deps, "repositories", moved, { location: from.moved.location, changedAt: at }))
            .where(eq(repositories.id, from.moved.repository)),
        ]),
  ]);
  const mark = await readMark(deps, "audit");
  if (mark.state === "ours") await writeAll(db, await checkpointStatements(deps, headOf(mark.value), "restored"));
  const known = await db.select({ id: hosts.id }).from(hosts).where(isNull(hosts.revokedAt));
  return { hosts: known.length };
}

/** Whether the contract is still as `holdfast start` created it: one that a person changed is left alone. */
function isPlain(request: ContractRequest | DatabaseRequest): request is ContractRequest {
  return "sourceDirectories" in request && request.sourceDirectories.length === 1;
}

import { and, desc, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import { Failure } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { isOver, type Run, RunKind, type RunState, type RunWithLog } from "../../../shared/run.ts";
import { bindings } from "../../db/schema/contracts.ts";
import { IS_NOT_BACKUP, orders, runs } from "../../db/schema/runs.ts";
import { writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeStartOrder, orderCancel, orderRun } from "./orders.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

const { log: _log, sequence: _sequence, heardAt: _heardAt, ...summary } = getTableColumns(runs);
/** A run without its log. */
export const runSummary = summary;

export async function listRuns(
  deps: Deps,
  input: ListInput & {
    host?: Id | undefined;
    binding?: Id | undefined;
    repository?: Id | undefined;
    state?: RunState | undefined;
    kind?: RunKind | undefined;
  },
): Promise<Page<Run>> {
  const { kind } = input;
  const isWanted = (of: RunKind | undefined) =>
    and(
      isPastCursor(runs.id, input),
      matches(runs.host, input.host),
      matches(runs.binding, input.binding),
      matches(runs.repository, input.repository),
      matches(runs.state, input.state),
      matches(runs.kind, of),
      // For the index of all kinds but the frequent one.
      of === undefined || of === "backup" ? undefined : IS_NOT_BACKUP,
    );
  const isOfSubject = input.binding !== undefined || input.repository !== undefined;
  const rows = await deps.db
    .select(summary)
    .from(runs)
    .where(isOfSubject && kind === undefined ? isNewestOfAnyKind(isWanted, input) : isWanted(kind))
    .orderBy(desc(runs.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, (row): Run => row);
}

/**
 * SQL: the newest runs of each kind, which the newest of all kinds are among. The indexes of bindings and repositories
 * are by kind: without one, all their runs would be read and sorted.
 */
function isNewestOfAnyKind(isWanted: (kind: RunKind) => SQL | undefined, { limit }: ListInput): SQL {
  const newest = RunKind.options.map(
    (kind) =>
      sql`select id from (select ${runs.id} from ${runs} where ${isWanted(kind)} order by ${runs.id} desc limit ${limit + 1})`,
  );
  return sql`${runs.id} in (${sql.join(newest, sql` union all `)})`;
}

export async function getRun(deps: Deps, id: Id): Promise<z.infer<typeof RunWithLog>> {
  const [row] = await deps.db
    .select({ ...summary, log: runs.log })
    .from(runs)
    .where(eq(runs.id, id));
  if (row === undefined) throw notFound("runs", id);
  return row;
}

/** Orders a backup now. When one is queued already, returns it and queues no second one. */
export async function runBinding(deps: Deps, binding: Id): Promise<Run> {
  const [bound] = await deps.db
    .select({ id: bindings.id, host: bindings.host, repository: bindings.repository })
    .from(bindings)
    .where(eq(bindings.id, binding));
  if (bound === undefined) throw notFound("bindings", binding);
  const waiting = and(eq(runs.binding, binding), eq(runs.kind, "backup"), eq(runs.state, "queued"));
  const [queued] = await deps.db.select(summary).from(runs).where(waiting).limit(1);
  if (queued !== undefined) {
    await deps.hub.poke(bound.host, "orders");
    return queued;
  }
  return orderRun(deps, { host: bound.host, binding, repository: bound.repository, kind: "backup" });
}

/**
 * Cancels a run. A queued run is cancelled at once; a running one is stopped by its host, which reports it. The order
 * to cancel is always sent, because the host may have started a queued run already.
 */
export async function cancelRun(deps: Deps, id: Id): Promise<Run> {
  const run = await getRun(deps, id);
  if (isOver(run.state))
    throw new Failure("runs.already_finished", `run ${id} has ${run.state} already; there is nothing to cancel`);
  const now = instant(deps.clock.now());
  const statements: Statement[] = [
    deps.db
      .update(runs)
      .set({
        state: "cancelled",
        finishedAt: now,
        failure: {
          code: "run.cancelled",
          message: "cancelled before the host started it",
          next: "run it again if you still need it",
        },
      })
      .where(and(eq(runs.id, id), eq(runs.state, "queued"))),
    closeStartOrder(deps, id),
  ];
  const cancelOrders = await deps.db
    .select({ id: orders.id })
    .from(orders)
    .where(and(eq(orders.run, id), eq(orders.kind, "cancel"), isNull(orders.closedAt)));
  const { order } = await orderCancel(deps, run);
  await writeAll(deps.db, cancelOrders.length > 0 ? statements : [...statements, order]);
  await deps.hub.poke(run.host, "orders");
  const { log: _log, ...cancelled } = await getRun(deps, id);
  return cancelled;
}

import { and, asc, eq, gt, inArray, isNull, lte, ne } from "drizzle-orm";
import type { Order, RestoreRequest } from "../../shared/assignment.ts";
import { Failure } from "../../shared/failure.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { isOver, type Run, type RunState } from "../../shared/run.ts";
import { sign } from "../auth/sign.ts";
import { hosts, orders, runs } from "../db/schema.ts";
import { writeAll, type Statement } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { newId } from "./page.ts";

const RUN_LIFE_MS = 24 * 3_600_000;
const CANCEL_LIFE_MS = 3_600_000;
/** More than a host works off in a day; the rest is there once these are closed. */
const AT_ONCE = 100;

/** The host's open orders, oldest first, each signed for it. */
export async function listOrders(deps: Deps, host: Id): Promise<{ orders: string[] }> {
  const rows = await deps.db
    .select()
    .from(orders)
    .where(and(eq(orders.host, host), isNull(orders.closedAt), gt(orders.expiresAt, instant(deps.clock.now()))))
    .orderBy(asc(orders.id))
    .limit(AT_ONCE);
  return { orders: await Promise.all(rows.map((row) => sign(deps.signingKey, "order", toOrder(row)))) };
}

/** Queues a run and the order that starts it, both under one id, and rings the host. */
export async function orderRun(
  deps: Deps,
  wanted: { host: Id; binding: Id } & (
    | { kind: "backup"; restore: null }
    | { kind: "restore"; restore: RestoreRequest }
  ),
): Promise<Run> {
  const { host, binding, kind, restore } = wanted;
  const [owner] = await deps.db
    .select({ name: hosts.name, revokedAt: hosts.revokedAt })
    .from(hosts)
    .where(eq(hosts.id, host));
  if (owner === undefined || owner.revokedAt !== null) {
    throw new Failure(
      "request.conflict",
      `host "${owner?.name ?? host}" is revoked: it takes no orders any more; enrol it again`,
    );
  }
  const now = deps.clock.now();
  const id = newId(deps);
  const run: Run = {
    id,
    host,
    binding,
    kind,
    trigger: "order",
    state: "queued",
    scheduledAt: null,
    queuedAt: instant(now),
    startedAt: null,
    finishedAt: null,
    snapshot: null,
    failure: null,
    warnings: [],
    stats: null,
    progress: null,
  };
  const times = { issuedAt: instant(now), expiresAt: instant(now + RUN_LIFE_MS) };
  await writeAll(deps.db, [
    deps.db.insert(runs).values(run),
    deps.db.insert(orders).values({ id, host, kind, run: id, binding, restore, ...times }),
  ]);
  await deps.hub.poke(host, "orders");
  return run;
}

/** The order that stops a run. It stays open until the run is over, for an hour at most. */
export function orderCancel(deps: Deps, run: Pick<Run, "id" | "host" | "binding">): Statement {
  const now = deps.clock.now();
  const times = { issuedAt: instant(now), expiresAt: instant(now + CANCEL_LIFE_MS) };
  return deps.db
    .insert(orders)
    .values({ id: newId(deps), host: run.host, kind: "cancel", run: run.id, binding: run.binding, ...times });
}

/** The run needs no starting any more. */
export function closeStartOrder(deps: Deps, run: Id): Statement {
  return close(deps, and(eq(orders.run, run), ne(orders.kind, "cancel")));
}

/** What a report of the run answers: its start, and once it is over also what would stop it. */
export function closeAnsweredOrders(deps: Deps, run: Id, state: RunState): Statement {
  return isOver(state) ? close(deps, eq(orders.run, run)) : closeStartOrder(deps, run);
}

/** Closes orders nobody took in time. Their runs never began: they are cancelled, and say why. */
export async function expireOrders(deps: Deps): Promise<void> {
  const now = instant(deps.clock.now());
  const expired = and(isNull(orders.closedAt), lte(orders.expiresAt, now));
  const begun = deps.db
    .select({ id: orders.run })
    .from(orders)
    .where(and(expired, ne(orders.kind, "cancel")));
  const failure = {
    code: "run.expired" as const,
    message: "the host did not take the order in time",
    next: "see that the host is online, then run it again",
  };
  await writeAll(deps.db, [
    deps.db
      .update(runs)
      .set({ state: "cancelled", finishedAt: now, failure })
      .where(and(eq(runs.state, "queued"), inArray(runs.id, begun))),
    deps.db.update(orders).set({ closedAt: now }).where(expired),
  ]);
}

function close(deps: Deps, which: ReturnType<typeof and>): Statement {
  const closedAt = instant(deps.clock.now());
  return deps.db
    .update(orders)
    .set({ closedAt })
    .where(and(which, isNull(orders.closedAt)));
}

function toOrder(row: typeof orders.$inferSelect): Order {
  const { id, host, kind, run, binding, restore, issuedAt, expiresAt } = row;
  const ordered = { id, host, issuedAt, expiresAt };
  if (kind === "cancel") return { ...ordered, kind, run };
  if (kind === "backup") return { ...ordered, kind, binding };
  if (restore === null) throw new Error(`order ${id} is to restore, and does not say what`);
  return { ...ordered, kind, binding, restore };
}

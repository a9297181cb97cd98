import { and, asc, eq, gt, inArray, isNull, lte, ne, or, sql, type SQL } from "drizzle-orm";
import type * as z from "zod";
import type { ForeignBindingInput, Order, RestoreRequest } from "../../../shared/assignment.ts";
import { Failure } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { isOver, type Run } from "../../../shared/run.ts";
import { onlyGenuine, requireGenuine, withMac } from "../../keys/row-mac.ts";
import { sign } from "../../auth/sign.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { orders, runs } from "../../db/schema/runs.ts";
import { writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { newId } from "../ids.ts";

const RUN_LIFETIME_MS = 24 * 3_600_000;
const CANCEL_LIFETIME_MS = 3_600_000;
/** More than a host can run in a day. The rest follows once these are closed. */
const BATCH_SIZE = 100;

/** The host's open orders, oldest first, each signed for it. */
export async function listOrders(deps: Deps, host: Id): Promise<{ orders: string[] }> {
  const rows = await deps.db
    .select()
    .from(orders)
    .where(and(eq(orders.host, host), isNull(orders.closedAt), gt(orders.expiresAt, instant(deps.clock.now()))))
    .orderBy(asc(orders.id))
    .limit(BATCH_SIZE);
  const genuine = await onlyGenuine(deps, "orders", rows);
  return { orders: await Promise.all(genuine.map((row) => sign(deps.signingKey, "order", toOrder(row)))) };
}

/**
 * A requested run. `host` runs it: for a restore of another host's snapshots, and a forget of what it maintains, not
 * the binding's own.
 */
export type RunRequest = { host: Id; repository: Id } & (
  | { kind: "backup"; binding: Id }
  | { kind: "restore"; binding: Id; restore: RestoreRequest; from: ForeignBindingInput | null }
  | { kind: "forget"; binding: Id; dryRun: boolean; from: ForeignBindingInput | null }
  | { kind: "prune" | "check"; binding: null }
);

/** Queues a run and the order that starts it, both under one id, and pokes the host. */
export async function orderRun(deps: Deps, request: RunRequest): Promise<Run> {
  const { host, binding, repository, kind } = request;
  const restore = request.kind === "restore" ? request.restore : null;
  const from = request.kind === "restore" || request.kind === "forget" ? request.from : null;
  const dryRun = request.kind === "forget" && request.dryRun;
  const [owner] = await deps.db.select().from(hosts).where(eq(hosts.id, host));
  if (owner !== undefined) await requireGenuine(deps, "hosts", owner);
  if (owner === undefined || owner.revokedAt !== null) {
    throw new Failure(
      "request.conflict",
      `host "${owner?.name ?? host}" is revoked and takes no orders: enrol it again`,
    );
  }
  const now = deps.clock.now();
  const id = newId(deps);
  const run: Run = {
    id,
    host,
    binding,
    repository,
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
    plan: null,
    items: null,
    progress: null,
  };
  const times = { issuedAt: instant(now), expiresAt: instant(now + RUN_LIFETIME_MS) };
  const content = { id, host, kind, run: id, binding, repository, restore, from, dryRun, ...times };
  const order = await withMac(deps, "orders", content);
  await writeAll(deps.db, [
    deps.db.insert(runs).values({ ...run, heardAt: instant(now) }),
    deps.db.insert(orders).values(order),
  ]);
  await deps.hub.poke(host, "orders");
  return run;
}

/**
 * Statement (in an object, because awaiting it alone runs it) that adds an order to cancel a run. The order stays open
 * until the run is over, for an hour at most.
 */
export async function orderCancel(
  deps: Deps,
  run: Pick<Run, "id" | "host" | "binding" | "repository">,
): Promise<{ order: Statement }> {
  const now = deps.clock.now();
  const times = { issuedAt: instant(now), expiresAt: instant(now + CANCEL_LIFETIME_MS) };
  const row = await withMac(deps, "orders", {
    id: newId(deps),
    host: run.host,
    kind: "cancel",
    run: run.id,
    binding: run.binding,
    repository: run.repository,
    restore: null,
    from: null,
    dryRun: false,
    ...times,
  });
  return { order: deps.db.insert(orders).values(row) };
}

/** Closes the order that starts the run. */
export function closeStartOrder(deps: Deps, run: Id): Statement {
  return close(deps, and(eq(orders.run, run), ne(orders.kind, "cancel")));
}

/** Closes the orders that reports of these runs answer: their start, and once they are over also their cancellation. */
export function closeAnsweredOrders(deps: Deps, answered: readonly Pick<Run, "id" | "state">[]): Statement {
  const ids = (list: typeof answered) => list.map(({ id }) => id);
  const over = answered.filter(({ state }) => isOver(state));
  const isAnswered = and(
    inArray(orders.run, ids(answered)),
    or(ne(orders.kind, "cancel"), inArray(orders.run, ids(over))),
  );
  return close(deps, isAnswered);
}

/** SQL: whether an open order has expired. */
export function isOrderDue(now: number): SQL {
  return sql`exists (select 1 from ${orders} where ${isNull(orders.closedAt)} and ${lte(orders.expiresAt, instant(now))})`;
}

/** Closes expired orders. Their runs never started: they become `cancelled` with failure `run.expired`. */
export async function expireOrders(deps: Deps): Promise<void> {
  const now = instant(deps.clock.now());
  const expired = and(isNull(orders.closedAt), lte(orders.expiresAt, now));
  const begun = deps.db
    .select({ id: orders.run })
    .from(orders)
    .where(and(expired, ne(orders.kind, "cancel")));
  const failure = {
    code: "run.expired" as const,
    message: "the host did not fetch the order before it expired",
    next: "check that the host is online, then run it again",
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

function toOrder(row: typeof orders.$inferSelect): z.input<typeof Order> {
  const { id, host, kind, run, binding, repository, restore, from, dryRun, issuedAt, expiresAt } = row;
  const ordered = { id, host, issuedAt, expiresAt };
  switch (kind) {
    case "cancel":
      return { ...ordered, kind, run };
    case "backup":
      return { ...ordered, kind, binding: requireField(row, binding) };
    case "forget":
      return { ...ordered, kind, binding: requireField(row, binding), dryRun, from };
    case "prune":
    case "check":
      return { ...ordered, kind, repository: requireField(row, repository) };
    case "restore":
      return { ...ordered, kind, binding: requireField(row, binding), restore: requireField(row, restore), from };
  }
}

function requireField<T>({ id, kind }: { id: Id; kind: string }, value: T | null): T {
  if (value === null) throw new Error(`order ${id} (${kind}) has no target`);
  return value;
}

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { JWS_TYPES, Order } from "../../shared/assignment.ts";
import { Id, Instant, instant } from "../../shared/ids.ts";
import type { AgentConfig, Paths } from "../config.ts";
import type { Refuse } from "./refusals.ts";
import { verifyPinned } from "./signed.ts";
import { isQuarantined, peekState, readState, quarantine, writeState } from "../system/state-file.ts";

export interface OrderDeps {
  paths: Paths;
  config: AgentConfig;
  /** The control plane's time, as far as known: orders expire by its clock. */
  clock: { now(): number };
  refuse: Refuse;
  /** Whether this host grants the order. One that waits for root comes again with the next pull. */
  isGranted: (order: Order) => Promise<boolean>;
  /** Whether a run with this id is queued or running here, or its report is not delivered yet. */
  isKnown: (run: Id) => Promise<boolean>;
}

/**
 * What is stored of an order until it expires. `acknowledgedAt`: when the control plane accepted a report of its run.
 */
const StoredOrder = z.strictObject({ id: Id, expiresAt: Instant, acknowledgedAt: Instant.nullable() });
type StoredOrder = z.infer<typeof StoredOrder>;

/**
 * Records of orders that expired up to here are removed. Such orders are never accepted again, whatever the clock says.
 */
const Floor = z.strictObject({ expiredUntil: Instant });

/** A response sent before the report was accepted may still contain the order: not a replay. */
const IN_FLIGHT_MS = 10 * 60_000;
const REMOVE_AFTER_MS = 3_600_000;

/**
 * Verifies the orders the control plane has for this host. Each comes with every pull until a report of its run is
 * accepted, and is run once.
 * @returns the orders to carry out now: cancels last
 */
export async function acceptOrders(deps: OrderDeps, signed: string[]): Promise<Order[]> {
  const accepted: Order[] = [];
  for (const jws of signed) {
    const order = await openOrder(deps, jws);
    if (order !== null && (await shouldRun(deps, order))) accepted.push(order);
  }
  return [
    ...accepted.filter((order) => order.kind !== "cancel"),
    ...accepted.filter((order) => order.kind === "cancel"),
  ];
}

/** Called with the ids of runs the control plane has stored, before their reports are removed here. */
export async function acknowledgeOrders(deps: Pick<OrderDeps, "paths" | "clock">, runs: readonly Id[]): Promise<void> {
  for (const run of runs) {
    const stored = await readStoredOrder(deps.paths, run);
    if (stored === null || stored.acknowledgedAt !== null) continue;
    await writeStoredOrder(deps.paths, { ...stored, acknowledgedAt: instant(deps.clock.now()) });
  }
}

/** Removes the records of orders that expired more than an hour ago. */
export async function removeExpiredOrders(deps: Pick<OrderDeps, "paths" | "clock">): Promise<void> {
  await mkdir(deps.paths.ordersDir, { recursive: true, mode: 0o700 });
  const before = instant(deps.clock.now() - REMOVE_AFTER_MS);
  let floor = await readFloor(deps);
  const old: Id[] = [];
  for (const name of await readdir(deps.paths.ordersDir)) {
    const id = Id.safeParse(name.replace(/\.json$/, ""));
    const stored = id.success ? await readStoredOrder(deps.paths, id.data) : null;
    if (stored === null || stored.expiresAt >= before) continue;
    old.push(stored.id);
    if (stored.expiresAt > floor) floor = stored.expiresAt;
  }
  if (old.length === 0) return;
  await writeState(floorFile(deps.paths), { expiredUntil: floor });
  for (const id of old) await rm(orderFile(deps.paths, id), { force: true });
}

async function openOrder(deps: OrderDeps, jws: string): Promise<Order | null> {
  const opened = await verifyPinned(jws, deps.config, JWS_TYPES.order, Order);
  if (!opened.ok) {
    await deps.refuse(`order.${opened.fault}`, "order", `an order ${opened.message}`);
    return null;
  }
  const order = opened.value;
  if (order.host === deps.config.host) return order;
  const message = `order ${order.id} is for host ${order.host}, this host is ${deps.config.host}`;
  await deps.refuse("order.foreign", order.id, message);
  return null;
}

async function shouldRun(deps: OrderDeps, order: Order): Promise<boolean> {
  const now = deps.clock.now();
  const stored = await readStoredOrder(deps.paths, order.id);
  const isExpired = Date.parse(order.expiresAt) <= now || order.expiresAt <= (await readFloor(deps));
  if (isExpired && stored === null) {
    await deps.refuse("order.expired", order.id, `order ${order.id} expired at ${order.expiresAt}`);
    return false;
  }
  // A run's id is never used twice, so a repeated cancel changes nothing.
  if (order.kind === "cancel") return true;
  if (stored === null && (await isQuarantined(orderFile(deps.paths, order.id)))) {
    if (await deps.isKnown(order.id)) return false;
    const message = `the record of order ${order.id} was damaged, so it may already have run: send a new order`;
    await deps.refuse("order.replayed", order.id, message);
    return false;
  }
  const acknowledgedAt = stored?.acknowledgedAt ?? null;
  if (acknowledgedAt !== null) {
    if (now - Date.parse(acknowledgedAt) > IN_FLIGHT_MS) {
      await deps.refuse("order.replayed", order.id, `order ${order.id} came again after it was done and reported`);
    }
    return false;
  }
  if (isExpired || (await deps.isKnown(order.id))) return false;
  if (!(await deps.isGranted(order))) return false;
  await writeStoredOrder(deps.paths, { id: order.id, expiresAt: order.expiresAt, acknowledgedAt: null });
  return true;
}

async function readStoredOrder(paths: Paths, id: Id): Promise<StoredOrder | null> {
  return await readState(orderFile(paths, id), StoredOrder);
}

async function writeStoredOrder(paths: Paths, stored: StoredOrder): Promise<void> {
  await writeState(orderFile(paths, stored.id), stored);
}

/** A damaged floor counts as now, so that no expired order is accepted again. */
async function readFloor({ paths, clock }: Pick<OrderDeps, "paths" | "clock">): Promise<Instant> {
  const file = floorFile(paths);
  const floor = await peekState(file, Floor);
  if (floor !== "damaged") return floor === "none" ? instant(0) : floor.value.expiredUntil;
  await quarantine(file);
  const expiredUntil = instant(clock.now());
  await writeState(file, { expiredUntil });
  return expiredUntil;
}

function orderFile(paths: Paths, id: Id): string {
  return join(paths.ordersDir, `${id}.json`);
}

function floorFile(paths: Paths): string {
  return join(paths.ordersDir, "floor.json");
}

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { JWS_TYPES, Order } from "../../shared/assignment.ts";
import { Id, Instant, instant } from "../../shared/ids.ts";
import type { AgentConfig, Paths } from "../config.ts";
import type { Refuse } from "./refusals.ts";
import { verifySigned } from "./signed.ts";
import { isQuarantined, peekState, readState, quarantine, writeState } from "../system/state-file.ts";

export interface OrderDeps {
  paths: Paths;
  config: AgentConfig;
  /** The control plane's time, as far as we know it: it is its clock that orders expire by. */
  clock: { now(): number };
  refuse: Refuse;
  /** Whether a run of that id is waiting or running here, or its report has still to be delivered. */
  isKnown: (run: Id) => Promise<boolean>;
}

/** What we remember of an order until it expires: `acknowledgedAt`, when the control plane had a report of its run. */
const StoredOrder = z.strictObject({ id: Id, expiresAt: Instant, acknowledgedAt: Instant.nullable() });
type StoredOrder = z.infer<typeof StoredOrder>;

/** Orders that expired up to here are forgotten, and never taken again, whatever a clock says. */
const Floor = z.strictObject({ expiredUntil: Instant });

/** An answer that was on its way while the report was accepted still carries the order: that is no replay. */
const IN_FLIGHT_MS = 10 * 60_000;
const REMOVE_AFTER_MS = 3_600_000;

/**
 * Opens the orders the control plane holds for us. They come again at every pull until a report of their run is accepted;
 * each is done once.
 * @returns what is to be done now: orders to run first, cancels last
 */
export async function acceptOrders(deps: OrderDeps, signed: string[]): Promise<Order[]> {
  const taken: Order[] = [];
  for (const jws of signed) {
    const order = await openOrder(deps, jws);
    if (order !== null && (await shouldRun(deps, order))) taken.push(order);
  }
  return [...taken.filter((order) => order.kind !== "cancel"), ...taken.filter((order) => order.kind === "cancel")];
}

/** Called with the ids of runs the control plane has, before anything else of them is forgotten. */
export async function acknowledgeOrders(deps: Pick<OrderDeps, "paths" | "clock">, runs: readonly Id[]): Promise<void> {
  for (const run of runs) {
    const stored = await readStoredOrder(deps.paths, run);
    if (stored === null || stored.acknowledgedAt !== null) continue;
    await writeStoredOrder(deps.paths, { ...stored, acknowledgedAt: instant(deps.clock.now()) });
  }
}

/** Forgets orders that expired more than an hour ago. */
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
  const opened = await verifySigned(jws, deps.config.controlKey, JWS_TYPES.order, Order);
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
  // A run's id is never used twice: cancelling it again changes nothing.
  if (order.kind === "cancel") return true;
  if (stored === null && (await isQuarantined(orderFile(deps.paths, order.id)))) {
    if (await deps.isKnown(order.id)) return false;
    const message = `what this host remembered of order ${order.id} was damaged, so it may have been done: ask again`;
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
  await writeStoredOrder(deps.paths, { id: order.id, expiresAt: order.expiresAt, acknowledgedAt: null });
  return true;
}

async function readStoredOrder(paths: Paths, id: Id): Promise<StoredOrder | null> {
  return await readState(orderFile(paths, id), StoredOrder);
}

async function writeStoredOrder(paths: Paths, stored: StoredOrder): Promise<void> {
  await writeState(orderFile(paths, stored.id), stored);
}

/** One that is damaged is now, so that nothing comes again that was forgotten. */
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

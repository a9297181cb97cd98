import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { JWS_TYPES, Order } from "../shared/assignment.ts";
import { Id, Instant, instant } from "../shared/ids.ts";
import type { AgentConfig, Paths } from "./config.ts";
import { readTextIfThere, writeFileAtomically } from "./files.ts";
import { parseJson } from "./json.ts";
import type { Refuse } from "./refusals.ts";
import { verifySigned } from "./signed.ts";

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
const Memory = z.strictObject({ id: Id, expiresAt: Instant, acknowledgedAt: Instant.nullable() });
type Memory = z.infer<typeof Memory>;

/** Orders that expired up to here are forgotten, and never taken again, whatever a clock says. */
const Floor = z.strictObject({ expiredUntil: Instant });

/** An answer that was on its way while the report was accepted still carries the order: that is no replay. */
const IN_FLIGHT_MS = 10 * 60_000;
const FORGET_AFTER_MS = 3_600_000;

/**
 * Opens the orders the control plane holds for us. They come again at every pull until a report of their run is accepted;
 * each is done once.
 * @returns what is to be done now: orders to run first, cancels last
 */
export async function takeOrders(deps: OrderDeps, signed: string[]): Promise<Order[]> {
  const taken: Order[] = [];
  for (const jws of signed) {
    const order = await openOrder(deps, jws);
    if (order !== null && (await isToDo(deps, order))) taken.push(order);
  }
  return [...taken.filter((order) => order.kind !== "cancel"), ...taken.filter((order) => order.kind === "cancel")];
}

/** Called with the ids of runs the control plane has, before anything else of them is forgotten. */
export async function acknowledgeOrders(deps: Pick<OrderDeps, "paths" | "clock">, runs: readonly Id[]): Promise<void> {
  for (const run of runs) {
    const memory = await recall(deps.paths, run);
    if (memory === null || memory.acknowledgedAt !== null) continue;
    await remember(deps.paths, { ...memory, acknowledgedAt: instant(deps.clock.now()) });
  }
}

/** Forgets orders that expired more than an hour ago. */
export async function forgetExpiredOrders(deps: Pick<OrderDeps, "paths" | "clock">): Promise<void> {
  await mkdir(deps.paths.ordersDir, { recursive: true, mode: 0o700 });
  const before = instant(deps.clock.now() - FORGET_AFTER_MS);
  let floor = await readFloor(deps.paths);
  const old: Id[] = [];
  for (const name of await readdir(deps.paths.ordersDir)) {
    const id = Id.safeParse(name.replace(/\.json$/, ""));
    const memory = id.success ? await recall(deps.paths, id.data) : null;
    if (memory === null || memory.expiresAt >= before) continue;
    old.push(memory.id);
    if (memory.expiresAt > floor) floor = memory.expiresAt;
  }
  if (old.length === 0) return;
  await writeFileAtomically(floorFile(deps.paths), JSON.stringify({ expiredUntil: floor }));
  for (const id of old) await rm(memoryFile(deps.paths, id), { force: true });
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

async function isToDo(deps: OrderDeps, order: Order): Promise<boolean> {
  const now = deps.clock.now();
  const memory = await recall(deps.paths, order.id);
  const isExpired = Date.parse(order.expiresAt) <= now || order.expiresAt <= (await readFloor(deps.paths));
  if (isExpired && memory === null) {
    await deps.refuse("order.expired", order.id, `order ${order.id} expired at ${order.expiresAt}`);
    return false;
  }
  // A run's id is never used twice: cancelling it again changes nothing.
  if (order.kind === "cancel") return true;
  const acknowledgedAt = memory?.acknowledgedAt ?? null;
  if (acknowledgedAt !== null) {
    if (now - Date.parse(acknowledgedAt) > IN_FLIGHT_MS) {
      await deps.refuse("order.replayed", order.id, `order ${order.id} came again after it was done and reported`);
    }
    return false;
  }
  if (isExpired || (await deps.isKnown(order.id))) return false;
  await remember(deps.paths, { id: order.id, expiresAt: order.expiresAt, acknowledgedAt: null });
  return true;
}

async function recall(paths: Paths, id: Id): Promise<Memory | null> {
  const memory = Memory.safeParse(parseJson((await readTextIfThere(memoryFile(paths, id))) ?? ""));
  return memory.success ? memory.data : null;
}

async function remember(paths: Paths, memory: Memory): Promise<void> {
  await writeFileAtomically(memoryFile(paths, memory.id), JSON.stringify(memory));
}

async function readFloor(paths: Paths): Promise<Instant> {
  const floor = Floor.safeParse(parseJson((await readTextIfThere(floorFile(paths))) ?? ""));
  return floor.success ? floor.data.expiredUntil : instant(0);
}

function memoryFile(paths: Paths, id: Id): string {
  return join(paths.ordersDir, `${id}.json`);
}

function floorFile(paths: Paths): string {
  return join(paths.ordersDir, "floor.json");
}

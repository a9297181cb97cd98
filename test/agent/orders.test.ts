import { expect, test } from "vitest";
import { acknowledgeOrders, removeExpiredOrders, acceptOrders } from "../../agent/link/orders.ts";
import type { OrderDeps } from "../../agent/link/orders.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";
import { configOf, makeSigner, newId, orderOf } from "./signer.ts";

const HOUR = 3_600_000;

async function bench() {
  const { paths } = await scratchRoot();
  const [signer, stranger] = await Promise.all([makeSigner(), makeSigner()]);
  const config = configOf(signer);
  const time = holdTime();
  const refused: string[] = [];
  const known = new Set<string>();
  const deps: OrderDeps = {
    paths,
    config,
    clock: time.clock,
    refuse: async (code, subject) => void refused.push(`${code} ${subject}`),
    isGranted: async () => true,
    isKnown: async (run) => known.has(run),
  };
  const signed = async (order: unknown): Promise<string> => await signer.sign(order, JWS_TYPES.order);
  return { deps, signer, stranger, time, refused, known, signed, host: config.host };
}

test("an order is run once, although every pull returns it until its run is reported", async () => {
  const { deps, host, known, signed, time, refused } = await bench();
  const order = orderOf(host);
  const jws = await signed(order);

  expect(await acceptOrders(deps, [jws])).toEqual([order]);
  known.add(order.id);
  expect(await acceptOrders(deps, [jws, jws])).toEqual([]);

  // The report of its run is accepted and leaves the host; an answer that was on its way still carries the order.
  await acknowledgeOrders(deps, [order.id]);
  known.clear();
  expect(await acceptOrders(deps, [jws])).toEqual([]);
  expect(refused).toEqual([]);

  time.jump(HOUR);
  expect(await acceptOrders(deps, [jws])).toEqual([]);
  expect(refused).toEqual([`order.replayed ${order.id}`]);
});

test("an order whose run was lost in a crash before it started is run", async () => {
  const { deps, host, signed } = await bench();
  const order = orderOf(host);
  const jws = await signed(order);
  await acceptOrders(deps, [jws]);
  expect(await acceptOrders(deps, [jws])).toEqual([order]);
});

test("an expired order is never run, not even when the clock goes back after its record was removed", async () => {
  const { deps, host, signed, time, refused } = await bench();
  const order = orderOf(host);
  const jws = await signed(order);
  await acceptOrders(deps, [jws]);
  await acknowledgeOrders(deps, [order.id]);

  time.jump(26 * HOUR);
  await removeExpiredOrders(deps);
  expect(await acceptOrders(deps, [jws])).toEqual([]);
  time.jump(-26 * HOUR);
  expect(await acceptOrders(deps, [jws])).toEqual([]);
  expect(refused).toEqual([`order.expired ${order.id}`, `order.expired ${order.id}`]);
});

test("an order newer than the removed ones is run", async () => {
  const { deps, host, signed, time } = await bench();
  await acceptOrders(deps, [await signed(orderOf(host))]);
  time.jump(26 * HOUR);
  await removeExpiredOrders(deps);
  const order = orderOf(host, { expiresAt: "2026-11-25T10:00:00.000Z" });
  expect(await acceptOrders(deps, [await signed(order)])).toEqual([order]);
});

test("an order that is not signed for this host is refused, and does not block the others", async () => {
  const { deps, host, signed, signer, stranger, refused } = await bench();
  const good = orderOf(host);
  const foreign = orderOf(newId());
  const late = orderOf(host, { expiresAt: "2026-11-23T07:59:59.999Z" });
  const taken = await acceptOrders(deps, [
    await stranger.sign(orderOf(host), JWS_TYPES.order),
    await signer.sign(orderOf(host), JWS_TYPES.assignment),
    await signed({ ...orderOf(host), kind: "format the disk" }),
    await signed(foreign),
    await signed(late),
    "not a JWS",
    await signed(good),
  ]);
  expect(taken).toEqual([good]);
  expect(refused).toEqual([
    "order.bad_signature order",
    "order.bad_signature order",
    "order.invalid order",
    `order.foreign ${foreign.id}`,
    `order.expired ${late.id}`,
    "order.bad_signature order",
  ]);
});

test("a cancel is handled after the order of its run, whatever their sequence in the answer", async () => {
  const { deps, host, signed } = await bench();
  const order = orderOf(host);
  const { id, expiresAt, issuedAt } = orderOf(host);
  const cancel = { kind: "cancel", id, host, expiresAt, issuedAt, run: order.id };
  expect(await acceptOrders(deps, [await signed(cancel), await signed(order)])).toEqual([order, cancel]);
});

import { eq, sql } from "drizzle-orm";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { hosts } from "../../control/db/schema/hosts.ts";
import { channels, deliveries } from "../../control/db/schema/notifications.ts";
import { sealSecret, sealTarget } from "../../control/keys/channel-secrets.ts";
import { guard } from "../../control/db/transaction.ts";
import type { Deps, Post } from "../../control/deps.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { enqueue, enqueueTo } from "../../control/notify/outbox.ts";
import { createPost, createDestinationCheck } from "../../control/runtime/node/outgoing.ts";
import type { EventType } from "../../shared/event.ts";
import { Id, instant, uuidv7 } from "../../shared/ids.ts";
import { heldDeps, type HeldDeps } from "./deps.ts";
import { httpReceiver } from "./http-receiver.ts";

const SECRET = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;
const SECOND = 1000;
const HOUR = 3600 * SECOND;

test("a delivery is enqueued for every enabled and subscribed channel, each with its own id", async () => {
  const deps = await heldDeps();
  const all = await channel(deps, { name: "all" });
  const some = await channel(deps, { name: "some", events: ["run.failed", "run.recovered"] });
  await channel(deps, { name: "others", events: ["run.recovered"] });
  await channel(deps, { name: "off", enabled: false });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: { run: "x" } })]);

  const rows = await deps.db.select().from(deliveries);
  expect(rows.map((row) => row.channel).sort()).toEqual([all, some].sort());
  expect(new Set(rows.map((row) => Id.parse(row.id))).size).toBe(2);
  for (const row of rows) {
    expect(row.id.slice(0, 13)).toBe(uuidv7(deps.clock.now(), new Uint8Array(10)).slice(0, 13));
    expect(row).toMatchObject({
      type: "run.failed",
      state: "pending",
      nextAttemptAt: "2026-11-23T08:00:00.000Z",
      payload: { type: "run.failed", timestamp: "2026-11-23T08:00:00.000Z", data: { run: "x" } },
    });
  }
});

test("nothing is enqueued when the condition does not hold, or the batch is rolled back", async () => {
  const deps = await heldDeps();
  await channel(deps, {});
  const notice = { type: "run.failed", data: {} } as const;
  await deps.db.batch([enqueue(deps, notice, sql`exists (select 1 from ${hosts})`)]);
  await expect(deps.db.batch([enqueue(deps, notice), guard(deps.db, sql`0`)])).rejects.toThrow();
  expect(await deps.db.select().from(deliveries)).toEqual([]);
  await deps.db.batch([enqueue(deps, notice, sql`not exists (select 1 from ${hosts})`)]);
  expect(await deps.db.select().from(deliveries)).toHaveLength(1);
});

test("a channel test is sent whatever the subscription", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  const asked = await channel(deps, { name: "asked", url: receiver.url, events: [], enabled: false });
  await channel(deps, { name: "other", url: receiver.url });
  await deps.db.batch([enqueueTo(deps, asked, { type: "channel.test", data: {} })]);
  await dispatch(deps);
  expect(receiver.requests).toHaveLength(1);
});

test("a webhook is signed as in Standard Webhooks, under the delivery's id", async () => {
  const deps = await heldDeps();
  deps.clock.pass(Date.now() - deps.clock.now());
  const receiver = await httpReceiver();
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: { text: "größer als 1 GiB ✓" } })]);
  expect(await dispatch(deps)).toBeNull();

  const [request] = receiver.requests;
  const [row] = await deps.db.select().from(deliveries);
  const verified = new Webhook(SECRET).verify(request?.body ?? "", {
    "webhook-id": String(row?.id),
    "webhook-timestamp": String(request?.headers["webhook-timestamp"]),
    "webhook-signature": String(request?.headers["webhook-signature"]),
  });
  expect(verified).toEqual(row?.payload);
  expect(request?.headers).toMatchObject({ "webhook-id": row?.id, "content-type": "application/json" });
  expect(row).toMatchObject({ state: "delivered", attempts: 1, lastStatus: 204, lastError: null, nextAttemptAt: null });
  expect(row?.deliveredAt).toBe(instant(deps.clock.now()));
});

test("a failing receiver is tried ten times over more than three days, then no more", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  receiver.answer(500);
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  const waits = [
    5 * SECOND,
    300 * SECOND,
    1800 * SECOND,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
  ];
  for (const [index, wait] of waits.entries()) {
    const due = (await dispatch(deps)) ?? 0;
    // Spread by a tenth at most, so that what failed together does not come back together.
    expect(due - deps.clock.now()).toBeGreaterThanOrEqual(wait);
    expect(due - deps.clock.now()).toBeLessThanOrEqual(wait * 1.1);
    expect(receiver.requests).toHaveLength(index + 1);
    deps.clock.pass(due - deps.clock.now() - 1);
    expect(await dispatch(deps)).toBe(due);
    expect(receiver.requests).toHaveLength(index + 1);
    deps.clock.pass(1);
  }
  expect(await dispatch(deps)).toBeNull();
  expect(receiver.requests).toHaveLength(10);
  expect(new Set(receiver.requests.map((request) => request.headers["webhook-id"])).size).toBe(1);
  expect(await only(deps)).toMatchObject({ state: "failed", attempts: 10, lastStatus: 500, lastError: "answered 500" });
});

test("a receiver that is back gets the waiting deliveries", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  receiver.answer(503);
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  receiver.answer(200);
  deps.clock.pass(6 * SECOND);
  await dispatch(deps);
  expect(await only(deps)).toMatchObject({ state: "delivered", attempts: 2, lastStatus: 200, lastError: null });
});

test("a refused connection is a failure like any other", async () => {
  const deps = await heldDeps();
  await channel(deps, { url: "http://127.0.0.1:1/" });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  expect(await only(deps)).toMatchObject({ state: "pending", attempts: 1, lastStatus: null });
  expect((await only(deps))?.lastError).toContain("ECONNREFUSED");
});

test("a redirect is a failure and is not followed", async () => {
  const deps = await heldDeps();
  const elsewhere = await httpReceiver();
  const receiver = await httpReceiver();
  receiver.answer(307, { location: elsewhere.url });
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  expect(elsewhere.requests).toEqual([]);
  expect(await only(deps)).toMatchObject({ state: "pending", lastStatus: 307 });
});

test("status 410 disables the channel, and nothing more is sent to it", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  receiver.answer(500);
  const id = await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  receiver.answer(410);
  await deps.db.batch([enqueue(deps, { type: "run.recovered", data: {} })]);
  expect(await dispatch(deps)).toBeNull();

  expect(await deps.db.select().from(channels).where(eq(channels.id, id))).toMatchObject([{ enabled: false }]);
  const rows = await deps.db.select().from(deliveries);
  expect(rows.map(({ state }) => state)).toEqual(["failed", "failed"]);
  deps.clock.pass(48 * HOUR);
  await dispatch(deps);
  expect(receiver.requests).toHaveLength(2);
});

test("a delivery of a deleted channel fails", async () => {
  const deps = await heldDeps();
  const id = await channel(deps, {});
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await deps.db.delete(channels).where(eq(channels.id, id));
  expect(await dispatch(deps)).toBeNull();
  expect(await only(deps)).toMatchObject({ state: "failed", lastError: "the channel was deleted" });
});

test("a private address is rejected when configured, with the reason", async () => {
  const deps = await heldDeps(createPost(createDestinationCheck({ private: "refuse", exceptions: [] }, null)));
  const receiver = await httpReceiver();
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  expect(receiver.requests).toEqual([]);
  expect((await only(deps))?.lastError).toContain("HOLDFAST_WEBHOOK_PRIVATE=refuse");
});

test("concurrent dispatchers send each delivery once", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  await channel(deps, { url: receiver.url });
  for (let index = 0; index < 30; index++)
    await deps.db.batch([enqueue(deps, { type: "run.failed", data: { index } })]);
  await Promise.all([dispatch(deps), dispatch(deps), dispatch(deps)]);
  expect(receiver.requests).toHaveLength(30);
  expect(new Set(receiver.requests.map((request) => request.headers["webhook-id"])).size).toBe(30);
});

test("deliveries claimed by a crashed dispatcher are sent by another after the lease", async () => {
  const crashed = Promise.withResolvers<never>();
  const claimed = Promise.withResolvers<void>();
  const crashing: Post = async () => {
    claimed.resolve();
    return crashed.promise;
  };
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  await channel(deps, { url: receiver.url });
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  const dead = dispatch({ ...deps, post: crashing });
  await claimed.promise;

  expect(await dispatch(deps)).toBe(deps.clock.now() + 60 * SECOND);
  expect(receiver.requests).toEqual([]);
  deps.clock.pass(60 * SECOND);
  await dispatch(deps);
  expect(receiver.requests).toHaveLength(1);

  // The one thought dead wakes up late: what the other wrote stands.
  crashed.reject(new Error("woke up too late"));
  await dead;
  expect(await only(deps)).toMatchObject({ state: "delivered", attempts: 1, lastError: null });
});

async function channel(
  deps: HeldDeps,
  input: { name?: string; url?: string; events?: EventType[]; enabled?: boolean },
): Promise<Id> {
  const at = instant(deps.clock.now());
  const id = uuidv7(deps.clock.now(), deps.random(16));
  await deps.db.insert(channels).values({
    id,
    name: input.name ?? "me",
    kind: "webhook",
    target: await sealTarget(deps, { id, via: null }, { kind: "webhook", url: input.url ?? "http://127.0.0.1:1/" }),
    secret: await sealSecret(deps, id, SECRET),
    events: input.events ?? null,
    enabled: input.enabled ?? true,
    createdAt: at,
    changedAt: at,
  });
  return id;
}

async function only(deps: Deps): Promise<typeof deliveries.$inferSelect | undefined> {
  const rows = await deps.db.select().from(deliveries);
  expect(rows).toHaveLength(1);
  return rows[0];
}

import { eq, sql } from "drizzle-orm";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { hosts } from "../../control/db/schema/hosts.ts";
import { runs } from "../../control/db/schema/runs.ts";
import { openQuestions } from "../../control/hub/questions.ts";
import { newSession, handleOpen, handleFrame } from "../../control/hub/session.ts";
import { createHub, type NodeHub } from "../../control/runtime/node/hub.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import { CLOSE } from "../../shared/protocol.ts";
import { type FakeSocket, openFakeSocket } from "../support/fake-socket.ts";
import { until } from "../support/until.ts";
import { heldDeps, type HeldDeps } from "./deps.ts";

test("a peer that is silent for 90 seconds is closed, one that answers pings is not", async () => {
  const { deps, hub, connect } = await hubOf("quiet", "lively");
  const quiet = await connect("quiet");
  const lively = await connect("lively");
  for (let passed = 0; passed < 90; passed += 30) {
    deps.clock.pass(30_000);
    hub.pingAll();
    if (passed < 60) expect(await lively.next()).toEqual({ type: "ping" });
    lively.send({ type: "pong" });
    // The hub hears in order: once this is answered, it has heard the pong.
    lively.send({ type: "ping" });
    await lively.next();
  }
  expect(await quiet.closed).toEqual(CLOSE.silent);
  await hub.poke(deps.ids.lively ?? "", "orders");
  const frames = [await lively.next(), await lively.next()];
  expect(frames).toContainEqual({ type: "poke", pull: "orders" });
});

test("after a bad frame all further frames are ignored: a flood costs no more than one", async () => {
  const { connect } = await hubOf("noisy");
  const noisy = await connect("noisy");
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", onWarning);
  onTestFinished(() => void process.off("warning", onWarning));
  for (let frame = 0; frame < 40; frame++) noisy.sendText("{");
  expect(await noisy.closed).toEqual(CLOSE.badFrame);
  expect(warnings).toEqual([]);
});

test.each([24, -24])("a clock set by %i h closes no live socket, and keeps no dead one", async (hours) => {
  const { deps, hub, connect } = await hubOf("quiet", "lively");
  const quiet = await connect("quiet");
  const lively = await connect("lively");
  deps.clock.pass(hours * 3_600_000);
  for (let pulses = 1; pulses <= 3; pulses++) {
    hub.pingAll();
    if (pulses < 3) expect(await lively.next()).toEqual({ type: "ping" });
    lively.send({ type: "ping" });
    expect(await lively.next()).toMatchObject({ type: expect.stringMatching(/^p[io]ng$/) });
  }
  expect(await quiet.closed).toEqual(CLOSE.silent);
  await hub.poke(deps.ids.lively ?? "", "orders");
  expect([await lively.next(), await lively.next()]).toContainEqual({ type: "poke", pull: "orders" });
});

test("a disconnect that the database does not accept is recorded as soon as it does", async () => {
  const { deps, hub, connect } = await hubOf("host");
  const id = deps.ids.host ?? "";
  const socket = await connect("host");
  await deps.db.run(sql`alter table hosts rename to hosts_of_before`);
  const failed = new Promise<void>((resolve) => {
    deps.log.error = (message) => void (message.includes("could not be recorded") && resolve());
  });
  socket.cut();
  await failed;
  await deps.db.run(sql`alter table hosts_of_before rename to hosts`);
  expect(await connectionOf(deps, id)).not.toBeNull();
  hub.pingAll();
  await until("the host to be away", async () => (await connectionOf(deps, id)) === null);
});

test("a poke reaches the newest connection only, and never fails", async () => {
  const { deps, hub, connect } = await hubOf("host");
  const id = deps.ids.host ?? "";
  await hub.poke(id, "orders");
  const older = await connect("host");
  const newer = await connect("host");
  expect(await older.closed).toEqual(CLOSE.replaced);
  await hub.poke(id, "assignment");
  expect(await newer.next()).toEqual({ type: "poke", pull: "assignment" });
});

test("a late close of the older connection leaves the newer one connected", async () => {
  const { deps, connect } = await hubOf("host");
  const id = deps.ids.host ?? "";
  const older = await connect("host");
  const first = await connectionOf(deps, id);
  const newer = await connect("host");
  await older.closed;
  const second = await until("the newer connection's presence", async () => {
    const now = await connectionOf(deps, id);
    return now !== first && now;
  });
  newer.sendText('{"type":"ping"}');
  await newer.next();
  expect(await connectionOf(deps, id)).toBe(second);
  newer.close(1000);
  await until("the host to be away", async () => (await connectionOf(deps, id)) === null);
});

test("a revoked host is disconnected at once, also one that was accepted just before", async () => {
  const { deps, hub, connect } = await hubOf("host", "late");
  const socket = await connect("host");
  await hub.disconnect(deps.ids.host ?? "", "revoked");
  expect(await socket.closed).toEqual(CLOSE.revoked);

  await deps.db
    .update(hosts)
    .set({ revokedAt: instant(deps.clock.now()) })
    .where(eq(hosts.name, "late"));
  expect(await (await connect("late")).closed).toEqual(CLOSE.revoked);
  expect(await connectionOf(deps, deps.ids.late ?? "")).toBeNull();
});

test("when the control plane stops, every socket is closed with the reason and no host stays online", async () => {
  const { deps, hub, connect } = await hubOf("one", "two");
  const sockets = [await connect("one"), await connect("two")];
  await hub.close();
  for (const socket of sockets) expect((await socket.closed).code).toBe(1001);
  expect(await deps.db.select({ connection: hosts.connectionId }).from(hosts)).toEqual([
    { connection: null },
    { connection: null },
  ]);
});

test("progress is saved at most once a second, and only of a running run", async () => {
  const { deps } = await hubOf("host");
  const host = deps.ids.host ?? "";
  const run = uuidv7(deps.clock.now(), deps.random(16));
  await deps.db
    .insert(runs)
    .values({ id: run, host, binding: run, kind: "backup", trigger: "order", state: "queued", warnings: [] });
  const session = newSession(host, uuidv7(deps.clock.now(), deps.random(16)));
  await handleOpen(deps, session);
  const send = async (fraction: number): Promise<number | undefined> => {
    const frame = { type: "progress", run, progress: { fraction, at: instant(deps.clock.now()) } };
    expect(await handleFrame({ ...deps, questions: openQuestions() }, session, JSON.stringify(frame))).toEqual({
      send: [],
      close: null,
    });
    const [row] = await deps.db.select({ progress: runs.progress }).from(runs);
    return row?.progress?.fraction;
  };
  expect(await send(0.1)).toBeUndefined();
  await deps.db.update(runs).set({ state: "running" });
  expect(await send(0.2)).toBe(0.2);
  deps.clock.pass(999);
  expect(await send(0.3)).toBe(0.2);
  deps.clock.pass(1);
  expect(await send(0.4)).toBe(0.4);
  await deps.db.update(runs).set({ state: "succeeded", progress: null });
  deps.clock.pass(1000);
  expect(await send(0.5)).toBeUndefined();
});

interface HubUnderTest {
  deps: HeldDeps & { ids: Record<string, Id> };
  hub: NodeHub;
  /** Resolves once the connection is in the database (or was refused there). */
  connect(name: string): Promise<FakeSocket>;
}

/**
 * A hub behind a bare server that believes whoever says a host's name: who may connect is tested with the whole app.
 */
async function hubOf(...names: string[]): Promise<HubUnderTest> {
  const held = await heldDeps();
  const ids: Record<string, Id> = {};
  for (const name of names) {
    const id = uuidv7(held.clock.now(), held.random(16));
    ids[name] = id;
    await held.db
      .insert(hosts)
      .values({ id, name, publicKey: name, audience: "", enrollment: id, createdAt: instant(held.clock.now()) });
  }
  const hub = createHub(held);
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    const name = String(request.headers.authorization).replace("Bearer ", "");
    hub.accept(ids[name] ?? "", request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  onTestFinished(async () => {
    await hub.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    deps: { ...held, ids },
    hub,
    connect: async (name) => {
      const socket = await openFakeSocket(`http://127.0.0.1:${port}`, name);
      // Frames are handled after the opening: an answer says that it is done.
      socket.send({ type: "ping" });
      await Promise.race([socket.next().catch(() => undefined), socket.closed]);
      return socket;
    },
  };
}

async function connectionOf(deps: HeldDeps, id: Id): Promise<string | null | undefined> {
  const [row] = await deps.db.select({ connection: hosts.connectionId }).from(hosts).where(eq(hosts.id, id));
  return row?.connection;
}

import { eq } from "drizzle-orm";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { keepConnected } from "../../agent/link/connection.ts";
import { hosts } from "../../control/db/schema/hosts.ts";
import { createHub } from "../../control/runtime/node/hub.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import { holdTime } from "../agent/held-time.ts";
import { until } from "../support/until.ts";
import { layWire } from "../support/wire.ts";
import { heldDeps } from "./deps.ts";

/** A real agent's connection, on held time, over a wire to a real hub. */
async function bench(random: () => number = () => 1) {
  const deps = await heldDeps();
  const id = uuidv7(deps.clock.now(), deps.random(16));
  const createdAt = instant(deps.clock.now());
  await deps.db.insert(hosts).values({ id, name: "nas", publicKey: "nas", audience: "", enrollment: id, createdAt });
  const hub = createHub(deps);
  const server = createServer((_request, response) => void response.writeHead(503).end());
  let opened = 0;
  server.on("upgrade", (request, socket, head) => {
    opened++;
    hub.accept(id, request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const wire = await layWire((server.address() as AddressInfo).port);
  const time = holdTime();
  const events = new EventEmitter();
  const lines: string[] = [];
  let pokes = 0;
  const connection = keepConnected({
    timers: time.timers,
    random,
    log: (line) => void lines.push(line),
    agentVersion: "0.2.0",
    target: async () => ({ url: `${wire.url.replace("http", "ws")}/agent/v1/socket`, headers: {} }),
    isRevoked: async () => {
      setImmediate(() => events.emit("refused"));
      return false;
    },
    onOnline: () => void events.emit("online"),
    onOffline: () => void events.emit("offline"),
    onAsk: async () => false,
    onPoke: () => void pokes++,
  });
  onTestFinished(async () => {
    connection.stop();
    await wire.end();
    await hub.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const presence = async (): Promise<string | null> =>
    (await deps.db.select({ connection: hosts.connectionId }).from(hosts).where(eq(hosts.id, id)))[0]?.connection ??
    null;
  await once(events, "online");
  const first = await until("the host's presence", presence);
  /** Whether a poke arrives: the truest sign of a connection. */
  const hears = (): Promise<boolean> =>
    until("a poke", async () => {
      await hub.poke(id, "orders");
      return pokes > 0;
    });
  return { hub, wire, time, events, lines, connection, presence, first, hears, opened: () => opened };
}

test("a half-open socket is detected by the agent within 75 s, which reconnects a second later", async () => {
  const { wire, time, events, connection, presence, first, hears } = await bench();
  wire.become({ is: "half-open" });
  await time.advance(74_000);
  expect(connection.isOnline()).toBe(true);
  await time.advance(1000);
  expect(connection.isOnline()).toBe(false);

  // The hub has heard nothing of it yet, and holds the older one when the newer comes.
  expect(await presence()).toBe(first);
  wire.become({ is: "clear" });
  const online = once(events, "online");
  await time.advance(1000);
  await online;
  const second = await until("the newer connection's presence", async () => {
    const now = await presence();
    return now !== first && now;
  });
  await hears();
  expect(await presence()).toBe(second);
});

test("a half-open socket is detected by the control plane within 90 s, and its host is shown as offline", async () => {
  const { hub, wire, presence, first } = await bench();
  wire.become({ is: "half-open" });
  hub.pingAll();
  hub.pingAll();
  expect(await presence()).toBe(first);
  hub.pingAll();
  await until("the host to be away", async () => (await presence()) === null);
});

test("a newer connection stays, although the older one closes later", async () => {
  const { wire, time, events, presence, first, hears, connection, opened } = await bench();
  wire.become({ is: "reordering" });
  // Nothing comes through: the agent gives up, and its next connection waits in front of the control plane as well.
  await time.advance(76_000);
  expect(connection.isOnline()).toBe(false);
  await until("the newer one to be asked for", () => wire.socketsAskedFor.length === 2);
  expect([opened(), await presence()]).toEqual([1, first]);

  const online = once(events, "online");
  wire.become({ is: "clear" });
  await online;
  const second = await until("the newer connection's presence", async () => {
    const now = await presence();
    return now !== null && now !== first && now;
  });
  await hears();
  expect([connection.isOnline(), await presence()]).toEqual([true, second]);
});

test("a control plane that is down for an hour gets six connection attempts in the first minute, then two per minute", async () => {
  // The shortest waits there are.
  const { wire, time, events, hears } = await bench(() => 0);
  const offline = once(events, "offline");
  wire.become({ is: "cut" });
  await offline;
  const from = time.clock.now();
  let inFirstMinute = 0;
  for (let attempts = 1; time.clock.now() - from < 3_600_000; attempts++) {
    const refused = once(events, "refused");
    await time.advance(time.pending().at(-1) ?? 0);
    await refused;
    if (time.clock.now() - from <= 60_000) inFirstMinute = attempts;
    expect(attempts).toBeLessThanOrEqual(6 + ((time.clock.now() - from) / 60_000) * 2);
  }
  expect(inFirstMinute).toBe(6);
  wire.become({ is: "clear" });
  const online = once(events, "online");
  await time.advance(60_000);
  await online;
  expect(await hears()).toBe(true);
});

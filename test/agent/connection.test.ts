import { EventEmitter, once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { WebSocket } from "ws";
import { WebSocketServer } from "ws";
import { keepConnected } from "../../agent/link/connection.ts";
import { CLOSE, PING_TEXT, PONG_TEXT } from "../../shared/protocol.ts";
import { holdTime } from "./held-time.ts";
import { newId } from "./signer.ts";

const WELCOME = JSON.stringify({ type: "welcome", protocol: 1, now: "2026-11-23T08:00:00.000Z" });
const progress = (fraction: number) => ({ fraction, at: "2026-11-23T08:00:00.000Z" });

/** One peer of the agent: what it hears, in order, and its end. */
interface Peer {
  socket: WebSocket;
  next(): Promise<string>;
  ended: Promise<number>;
}

/** A real server whose every move is the test's, and an agent's connection to it on held time. */
async function bench(input: { random?: () => number; isRevoked?: () => Promise<boolean> } = {}) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const events = new EventEmitter();
  const time = holdTime();
  const lines: string[] = [];
  const attempts: number[] = [];
  let isRefusing = false;
  server.options.verifyClient = () => !isRefusing;
  const connection = keepConnected({
    timers: time.timers,
    random: input.random ?? (() => 1),
    log(line) {
      lines.push(line);
      events.emit("log");
    },
    agentVersion: "0.1.0",
    target: async () => {
      attempts.push(time.clock.now());
      return { url: `ws://127.0.0.1:${port}/agent/v1/socket`, headers: { authorization: "Bearer me" } };
    },
    isRevoked:
      input.isRevoked ??
      (async () => {
        setImmediate(() => events.emit("asked"));
        return false;
      }),
    onOnline: () => void events.emit("online"),
    onOffline: () => void events.emit("offline"),
    onAsk: async () => false,
    onPoke: (pull) => void events.emit("poke", pull),
  });
  onTestFinished(async () => {
    connection.stop();
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  const accept = async (): Promise<Peer> => {
    const [socket] = (await once(server, "connection")) as [WebSocket];
    const frames: string[] = [];
    const arrivals = new EventEmitter();
    socket.on("message", (data: Buffer) => {
      frames.push(data.toString("utf8"));
      arrivals.emit("frame");
    });
    return {
      socket,
      async next() {
        if (frames.length === 0) await once(arrivals, "frame");
        return frames.shift() ?? "";
      },
      ended: once(socket, "close").then(([code]) => Number(code)),
    };
  };
  const welcome = async (): Promise<Peer> => {
    const peer = await accept();
    await peer.next();
    const online = once(events, "online");
    peer.socket.send(WELCOME);
    await online;
    return peer;
  };
  const refuse = (now: boolean): void => {
    isRefusing = now;
  };
  /** Ends the connection from the server's side and waits until the agent has noticed. */
  const drop = async (peer: Peer, code = 1001): Promise<void> => {
    const offline = once(events, "offline");
    peer.socket.close(code);
    await offline;
  };
  return { connection, server, time, lines, events, attempts, accept, welcome, refuse, drop };
}

/** The longest timer left is the retry: those of the old socket are shorter. */
function retry(time: ReturnType<typeof holdTime>): number {
  return time.pending().at(-1) ?? -1;
}

test("says hello, is online once welcomed, and answers pings", async () => {
  const { connection, accept, events } = await bench();
  const peer = await accept();
  expect(JSON.parse(await peer.next())).toEqual({ type: "hello", protocol: 1, agentVersion: "0.1.0" });
  expect(connection.isOnline()).toBe(false);
  const online = once(events, "online");
  peer.socket.send(WELCOME);
  await online;
  expect(connection.isOnline()).toBe(true);
  peer.socket.send(PING_TEXT);
  expect(await peer.next()).toBe(PONG_TEXT);
});

test("a poke says what to pull", async () => {
  const { welcome, events } = await bench();
  const peer = await welcome();
  const poked = once(events, "poke");
  peer.socket.send(JSON.stringify({ type: "poke", pull: "orders" }));
  expect(await poked).toEqual(["orders"]);
});

test("frames after the close set no timer", async () => {
  const { connection, welcome, time } = await bench();
  const peer = await welcome();
  peer.socket.ping();
  connection.stop();
  await peer.ended;
  expect(time.pending().filter((left) => left > 2_000)).toEqual([]);
});

test("waits longer after each failure, up to a minute", async () => {
  const { refuse, time, events, welcome, drop } = await bench();
  const peer = await welcome();
  refuse(true);
  await drop(peer);
  const waits: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    waits.push(retry(time));
    const asked = once(events, "asked");
    await time.advance(retry(time));
    await asked;
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1000));
});

test("each wait is shortened at random, by half at most", async () => {
  const { welcome, drop, time } = await bench({ random: () => 0 });
  await drop(await welcome());
  expect(retry(time)).toBe(500);
});

test("a connection counts as good only after a minute", async () => {
  const { welcome, drop, time } = await bench();
  let peer = await welcome();
  for (const wait of [1000, 2000, 4000]) {
    await drop(peer);
    expect(retry(time)).toBe(wait);
    const again = welcome();
    await time.advance(wait);
    peer = await again;
  }
  for (let half = 0; half < 2; half++) {
    await time.advance(30_000);
    expect(await peer.next()).toBe(PING_TEXT);
  }
  await time.advance(1);
  await drop(peer);
  expect(retry(time)).toBe(1000);
});

test("a server that answers pings keeps the connection; one that falls silent loses it", async () => {
  const { connection, welcome, time, events } = await bench();
  const peer = await welcome();
  for (let half = 0; half < 4; half++) {
    await time.advance(30_000);
    expect(await peer.next()).toBe(PING_TEXT);
    const heard = once(events, "poke");
    peer.socket.send(PONG_TEXT);
    peer.socket.send(JSON.stringify({ type: "poke", pull: "orders" }));
    await heard;
  }
  expect(connection.isOnline()).toBe(true);

  await time.advance(75_000);
  expect(connection.isOnline()).toBe(false);
  expect(await peer.ended).toBe(CLOSE.silent.code);
});

test("a connection that opens but never sends welcome is closed", async () => {
  const { accept, time, attempts } = await bench();
  const peer = await accept();
  await peer.next();
  await time.advance(75_000);
  expect(await peer.ended).toBe(CLOSE.silent.code);
  const again = accept();
  await time.advance(1000);
  await again;
  expect(attempts).toHaveLength(2);
});

test("a revoked host logs it and retries once an hour", async () => {
  const { welcome, drop, time, lines } = await bench();
  await drop(await welcome(), CLOSE.revoked.code);
  expect(retry(time)).toBe(3_600_000);
  expect(lines.at(-1)).toContain("revoked this host");
});

test("a host that was revoked while offline is told at its next connection", async () => {
  let isRevoked = false;
  const { welcome, drop, refuse, time, lines, events } = await bench({ isRevoked: async () => isRevoked });
  const peer = await welcome();
  refuse(true);
  isRevoked = true;
  await drop(peer);
  const said = once(events, "log");
  await time.advance(1000);
  await said;
  expect(lines.at(-1)).toContain("revoked this host");
  expect(retry(time)).toBe(3_600_000);
});

test("an agent that was replaced by another connection does not fight for it", async () => {
  const { welcome, drop, time, lines } = await bench();
  await drop(await welcome(), CLOSE.replaced.code);
  expect(retry(time)).toBe(60_000);
  expect(lines.at(-1)).toContain("another agent connected with this host's key");
});

test("a frame outside of the protocol closes the socket with a reason", async () => {
  const { welcome } = await bench();
  const peer = await welcome();
  peer.socket.send('{"type":"dance"}');
  expect(await peer.ended).toBe(CLOSE.badFrame.code);
});

test("another protocol version closes the socket with a reason", async () => {
  const { accept } = await bench();
  const peer = await accept();
  await peer.next();
  peer.socket.send(JSON.stringify({ type: "welcome", protocol: 2, now: "2026-11-23T08:00:00.000Z" }));
  expect(await peer.ended).toBe(CLOSE.protocol.code);
});

test("progress goes out at most once a second per run, always the latest, and is lost offline", async () => {
  const { connection, welcome, drop, time } = await bench();
  const peer = await welcome();
  const [one, other] = [newId(), newId()];
  for (const fraction of [0.1, 0.2, 0.3]) connection.sendProgress(one, progress(fraction));
  connection.sendProgress(other, progress(0.5));
  const heard = async (): Promise<unknown> => JSON.parse(await peer.next());
  expect(await heard()).toEqual({ type: "progress", run: one, progress: progress(0.1) });
  expect(await heard()).toEqual({ type: "progress", run: other, progress: progress(0.5) });
  await time.advance(1000);
  expect(await heard()).toEqual({ type: "progress", run: one, progress: progress(0.3) });

  await drop(peer);
  connection.sendProgress(one, progress(0.9));
  const again = welcome();
  await time.advance(2000);
  const back = await again;
  back.socket.send(PING_TEXT);
  expect(await back.next()).toBe(PONG_TEXT);
});

test("stop closes the socket and does not reconnect", async () => {
  const { connection, welcome, time, attempts } = await bench();
  const peer = await welcome();
  connection.stop();
  expect(await peer.ended).toBe(1000);
  await time.advance(120_000);
  expect(attempts).toHaveLength(1);
});

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { generateKeyPair } from "jose";
import { type WebSocket, WebSocketServer } from "ws";
import { ApiError, openApi } from "../../../agent/link/api.ts";
import { keepConnected } from "../../../agent/link/connection.ts";
import { realTimers } from "../../../agent/system/timers.ts";
import { FACTS } from "../../support/control.ts";
import type { Dice } from "../../support/random.ts";
import { anyValue } from "../invention.ts";
import { NO_SPARE, one, spoilBytes, spoilJson, spoilText } from "../mutation.ts";
import { mustHold, type Target } from "../target.ts";

/**
 * A control plane, or whoever is in its place on the way, that answers and says anything: over real sockets. A call
 * ends with an answer of its form or an ApiError, and after any frame the agent is connected, or connects again.
 */
export const wireToAgent: Target = {
  name: "wire-to-agent",
  share: 1,
  casesPerRound: 500,
  async begin() {
    let answer: { status: number; headers: Record<string, string>; body: Buffer } = {
      status: 200,
      headers: {},
      body: Buffer.alloc(0),
    };
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
    const sockets = new WebSocketServer({ server });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const config = {
      url,
      host: "01936f0e-0000-7000-8000-000000000000",
      name: "nas",
      audience: url,
      controlKey: "A".repeat(43),
    };
    const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
    const random = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(7);
    const api = openApi({ config, identity: { publicKey: "A".repeat(43), privateKey }, clock: Date, random });
    const calls = [
      () => api.getAssignment(3),
      () => api.getOrders(),
      () => api.getProbes(),
      () => api.getRelayedDeliveries(),
      () => api.postReports([]),
      () => api.putFacts(FACTS),
      () => api.putDeclarations({ declarations: [], faults: [] }),
    ];
    return {
      async play(dice) {
        if (dice.isLucky(0.5)) return await frame(dice, sockets, url);
        answer = answerOf(dice);
        try {
          await one(dice, calls)();
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
        }
        mustHold(Number.isFinite(api.clockOffset()), () => `the clock is said to be off by ${api.clockOffset()}`);
      },
      end: () => close(server, sockets),
    };
  },
};

const GOOD: readonly unknown[] = [
  { jws: "a.b.c" },
  { orders: ["a.b.c"] },
  { accepted: ["01936f0e-0000-7000-8000-000000000000"] },
  { contracts: [{ name: "x", contract: "01936f0e-0000-7000-8000-000000000000", binding: null }], faults: [] },
  { error: { code: "auth.host_revoked", message: "revoked" } },
];

function answerOf(dice: Dice): { status: number; headers: Record<string, string>; body: Buffer } {
  const status = dice.pick([200, 200, 200, 201, 304, 301, 400, 401, 403, 404, 413, 429, 500, 502, 503]);
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (dice.isLucky(0.3))
    headers["date"] = dice.pick(["", "x", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 99999 23:59:59 GMT", "-1"]);
  if (dice.isLucky(0.2)) headers["location"] = dice.pick(["/", "http://[", "//evil", "javascript:1"]);
  if (dice.isLucky(0.05)) headers["content-encoding"] = dice.pick(["gzip", "br", "deflate"]);
  const text = dice.isLucky(0.8) ? spoilJson(dice, one(dice, GOOD), NO_SPARE) : JSON.stringify(anyValue(dice));
  const body = Buffer.from(text);
  return {
    status,
    headers,
    body: status === 304 ? Buffer.alloc(0) : dice.isLucky(0.1) ? spoilBytes(dice, body) : body,
  };
}

const FRAMES: readonly unknown[] = [
  { type: "welcome", protocol: 1, now: "2026-11-23T08:00:00.000Z" },
  { type: "ping" },
  { type: "pong" },
  { type: "poke", pull: "assignment" },
];

/** A connection of its own for a handful of frames; it ends, or it lives on and is stopped. */
async function frame(dice: Dice, sockets: WebSocketServer, url: string): Promise<void> {
  const connected = once(sockets, "connection");
  const connection = keepConnected({
    timers: realTimers,
    random: () => 0,
    log: () => undefined,
    agentVersion: "0",
    isRevoked: () => Promise.resolve(false),
    target: () => Promise.resolve({ url: url.replace("http", "ws"), headers: {} }),
    onOnline: () => undefined,
    onOffline: () => undefined,
    onAsk: async () => false,
    onPoke: () => undefined,
  });
  const [socket] = (await connected) as [WebSocket];
  const ended = once(socket, "close");
  await once(socket, "message");
  for (let left = 1 + dice.below(4); left > 0; left--) {
    const good = one(dice, FRAMES);
    const text = dice.isLucky(0.4)
      ? JSON.stringify(good)
      : dice.isLucky(0.3)
        ? spoilText(dice, JSON.stringify(good))
        : spoilJson(dice, good, NO_SPARE);
    socket.send(dice.isLucky(0.05) ? spoilBytes(dice, Buffer.from(text)) : text);
  }
  if (dice.isLucky(0.1)) socket.close(dice.pick([1000, 4400, 4401, 4409, 4999]), dice.pick(["", "x".repeat(120)]));
  else socket.ping();
  connection.stop();
  const forceful = setTimeout(() => socket.terminate(), 5_000);
  await ended;
  clearTimeout(forceful);
}

async function close(server: Server, sockets: WebSocketServer): Promise<void> {
  for (const client of sockets.clients) client.terminate();
  sockets.close();
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}

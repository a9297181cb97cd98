import { generateKeyPair } from "jose";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { Assignment, JWS_TYPES, Order, SignedAssignment, SignedOrders } from "../../shared/assignment.ts";
import { Host } from "../../shared/host.ts";
import {
  ANSWERS_HEADER,
  ANSWERS_USER,
  CLOSE,
  MAX_FRAME_BYTES,
  PING_TEXT,
  PROTOCOL,
  SUBPROTOCOL,
} from "../../shared/protocol.ts";
import { ReportsAccepted } from "../../shared/report.ts";
import { Run, RunWithLog } from "../../shared/run.ts";
import { openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost, FAKE_FACTS, type FakeHost, readSigned, type TokenChange } from "../support/fake-host.ts";
import { type FakeSocket, openFakeSocket, UpgradeRefused } from "../support/fake-socket.ts";
import { until } from "../support/until.ts";

/** What a Hub promises (control/deps.ts), told by a host at the other end of a real socket. */
export function hubSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );
  const hostNow = (host: FakeHost): Promise<Host> => admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`);
  const isOnline = (host: FakeHost, online: boolean): Promise<Host> =>
    until(`${host.name} to be ${online ? "online" : "offline"}`, async () => {
      const now = await hostNow(host);
      return now.online === online ? now : null;
    });

  describe("hub", () => {
    test("a host that connects is welcomed and shown online until it leaves", async () => {
      const host = await enrolFakeHost(control(), "welcomed");
      expect(await hostNow(host)).toMatchObject({ online: false, connectedAt: null });

      const socket = await greet(await host.connect());
      expect(socket.subprotocol).toBe(SUBPROTOCOL);
      const { connectedAt } = await isOnline(host, true);
      expect(Math.abs(Date.parse(connectedAt ?? "") - Date.now())).toBeLessThan(60_000);

      socket.close(1000);
      expect((await socket.closed).code).toBe(1000);
      await isOnline(host, false);
    });

    test("a close without a code is answered at once", async () => {
      const socket = await (await enrolFakeHost(control(), "quiet-leaver")).connect();
      const leftAt = performance.now();
      socket.close();
      await socket.closed;
      expect(performance.now() - leftAt).toBeLessThan(5000);
    });

    test("a host with a broken connection is shown offline, and may reconnect", async () => {
      const host = await enrolFakeHost(control(), "cut-off");
      (await greet(await host.connect())).cut();
      expect(await isOnline(host, false)).toMatchObject({ connectedAt: null });
      const again = await greet(await host.connect());
      await isOnline(host, true);
      again.close(1000);
    });

    test("ping is answered with pong", async () => {
      const socket = await greet(await (await enrolFakeHost(control(), "pinger")).connect());
      socket.sendText(PING_TEXT);
      expect(await socket.next()).toEqual({ type: "pong" });
      socket.close(1000);
    });

    test("a changed binding pokes the host, and is in the assignment", async () => {
      const host = await enrolFakeHost(control(), "rung");
      const { binding } = await declareBinding(admin, { host: host.name, name: "rung" });
      const before = await assignmentOf(host);
      const socket = await greet(await host.connect());

      await admin.ask(z.unknown(), "POST", `/api/v1/bindings/${binding.id}/pause`);
      expect(await socket.next()).toEqual({ type: "poke", pull: "assignment" });
      const after = await assignmentOf(host);
      expect(after.revision).toBeGreaterThan(before.revision);
      expect(after.bindings).toMatchObject([{ id: binding.id, paused: true }]);
      socket.close(1000);
    });

    test("a user that the facts don't name is asked of the host, as far as it can be asked", async () => {
      const host = await enrolFakeHost(control(), "asked");
      const make = (user: string) =>
        admin.send("POST", "/api/v1/contracts", {
          host: host.name,
          name: `of-${user}`,
          request: { user, sourceDirectories: ["/srv"] },
        });
      const socket = await greet(await host.connect({ [ANSWERS_HEADER]: ANSWERS_USER }));
      await isOnline(host, true);
      for (const [user, exists, status] of [
        ["newcomer", true, 201],
        ["nobody-there", false, 400],
      ] as const) {
        const made = make(user);
        const question = await socket.next();
        if (question.type !== "ask") throw new Error(`not a question: ${question.type}`);
        expect(question.user).toBe(user);
        // Another question's answer is none.
        socket.send({ type: "answer", id: host.id, exists: !exists });
        socket.send({ type: "answer", id: question.id, exists });
        const { status: replied, body } = await made;
        expect([replied, JSON.stringify(body).includes('has no user \\"nobody-there\\"; create')]).toEqual([
          status,
          !exists,
        ]);
      }
      socket.close(1000);
      await socket.closed;
      await isOnline(host, false);
      // Nobody can say now: the run will.
      expect((await make("unknown-yet")).status).toBe(201);

      // An agent that can't be asked sends its facts when it is poked.
      const old = await greet(await host.connect());
      await isOnline(host, true);
      const refused = await make("newer");
      expect([refused.status, JSON.stringify(refused.body)]).toEqual([
        400,
        expect.stringContaining("try again in a moment"),
      ]);
      expect(await old.next()).toEqual({ type: "poke", pull: "assignment" });
      await host.client.ask(z.unknown(), "PUT", "/agent/v1/facts", { ...FAKE_FACTS, users: ["root", "newer"] });
      expect((await make("newer")).status).toBe(201);
      old.close(1000);
    });

    test("an order pokes the host, and progress is shown while it runs", async () => {
      const host = await enrolFakeHost(control(), "worker");
      const { binding } = await declareBinding(admin, { host: host.name, name: "worker" });
      const socket = await greet(await host.connect());

      const queued = await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
      expect(queued).toMatchObject({ state: "queued", kind: "backup" });
      expect(await socket.next()).toEqual({ type: "poke", pull: "orders" });
      const { orders } = await host.client.ask(SignedOrders, "GET", "/agent/v1/orders");
      const signed = await Promise.all(orders.map((jws) => readSigned(jws, host.controlKey, JWS_TYPES.order)));
      expect(z.array(Order).parse(signed)).toMatchObject([{ id: queued.id, kind: "backup", binding: binding.id }]);

      await reportRun(host, queued, "running");
      const progress = { fraction: 0.25, bytesDone: 25, bytesTotal: 100, at: new Date().toISOString() };
      socket.send({ type: "progress", run: queued.id, progress });
      const running = await until("the progress to show", async () => {
        const run = await admin.ask(RunWithLog, "GET", `/api/v1/runs/${queued.id}`);
        return run.progress === null ? null : run;
      });
      expect(running).toMatchObject({ state: "running", progress });

      await reportRun(host, queued, "succeeded");
      expect(await admin.ask(RunWithLog, "GET", `/api/v1/runs/${queued.id}`)).toMatchObject({
        state: "succeeded",
        progress: null,
        log: "all went well\n",
      });
      expect(await host.client.ask(SignedOrders, "GET", "/agent/v1/orders")).toEqual({ orders: [] });
      socket.close(1000);
    });

    test("a host can't report progress of another host's run", async () => {
      const owner = await enrolFakeHost(control(), "owner");
      const stranger = await enrolFakeHost(control(), "stranger");
      const { binding } = await declareBinding(admin, { host: owner.name, name: "owner" });
      const queued = await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
      await reportRun(owner, queued, "running");

      const socket = await greet(await stranger.connect());
      socket.send({ type: "progress", run: queued.id, progress: { fraction: 0.5, at: new Date().toISOString() } });
      socket.sendText('{"type":"ping" }');
      expect(await socket.next()).toEqual({ type: "pong" });
      expect(await admin.ask(Run, "GET", `/api/v1/runs/${queued.id}`)).toMatchObject({ progress: null });
      socket.close(1000);
    });

    test("the newest connection wins, and the late close of the older one changes nothing", async () => {
      const host = await enrolFakeHost(control(), "twice");
      const { binding } = await declareBinding(admin, { host: host.name, name: "twice" });
      const older = await greet(await host.connect());
      const newer = await greet(await host.connect());

      expect(await older.closed).toEqual(CLOSE.replaced);
      await admin.ask(z.unknown(), "POST", `/api/v1/bindings/${binding.id}/pause`);
      expect(await newer.next()).toEqual({ type: "poke", pull: "assignment" });
      expect(await hostNow(host)).toMatchObject({ online: true });

      newer.close(1000);
      await newer.closed;
      await isOnline(host, false);
    });

    test("a revoked host loses its socket at once and can't open another", async () => {
      const host = await enrolFakeHost(control(), "thief");
      const socket = await greet(await host.connect());
      await admin.ask(z.unknown(), "PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
      expect(await socket.closed).toEqual(CLOSE.revoked);
      await expect(host.connect()).rejects.toBeInstanceOf(UpgradeRefused);
      await isOnline(host, false);
    });

    test.each<[string, string]>([
      ["text that is no frame", "hello"],
      ["a frame nobody knows", '{"type":"sing"}'],
      ["a frame with an unknown key", '{"type":"ping","loud":true}'],
    ])("%s closes the socket", async (what, text) => {
      const socket = await greet(await (await enrolFakeHost(control(), what.replaceAll(" ", "-"))).connect());
      socket.sendText(text);
      expect((await socket.closed).code).toBe(CLOSE.badFrame.code);
    });

    test("a frame that is too large closes the socket", async () => {
      const socket = await greet(await (await enrolFakeHost(control(), "chatterbox")).connect());
      socket.send({ type: "ping", pad: "x".repeat(MAX_FRAME_BYTES) });
      // Node's own limit says 1009 before we see the frame.
      expect([CLOSE.badFrame.code, 1009]).toContain((await socket.closed).code);
    });

    test("an agent of another protocol gets its close code", async () => {
      const socket = await (await enrolFakeHost(control(), "from-the-future")).connect();
      socket.send({ type: "hello", protocol: PROTOCOL + 1, agentVersion: "9.0.0" });
      expect(await socket.closed).toEqual(CLOSE.protocol);
    });

    describe("rejects the socket", () => {
      const refused = async (token: string | null): Promise<number> => {
        const error: unknown = await openFakeSocket(control().url, token).catch((reason: unknown) => reason);
        if (!(error instanceof UpgradeRefused)) throw new Error("the socket was opened");
        return error.status;
      };
      test("without a token, and with an API token", async () => {
        expect(await refused(null)).toBe(401);
        expect(await refused(control().adminToken)).toBe(401);
      });
      test("without the subprotocol, or without a WebSocket", async () => {
        const host = await enrolFakeHost(control(), "foreign-speaker");
        const spoken: unknown = await openFakeSocket(control().url, await host.token(), ["chat"]).catch(
          (reason) => reason,
        );
        expect(spoken).toMatchObject({ status: 426 });
        expect((await host.client.send("GET", "/agent/v1/socket")).status).toBe(426);
      });
      test.each<[string, () => Promise<TokenChange>]>([
        [
          "signed with another key",
          async () => ({ key: (await generateKeyPair("EdDSA", { crv: "Ed25519" })).privateKey }),
        ],
        ["of a host nobody knows", async () => ({ subject: "01936f0e-0000-7000-8000-000000000000" })],
        ["for another control plane", async () => ({ audience: "https://elsewhere.example" })],
        ["of another type", async () => ({ type: JWS_TYPES.order })],
        ["of a clock that is an hour ahead", async () => ({ clockAheadSeconds: 3600 })],
        ["of an hour ago", async () => ({ clockAheadSeconds: -3600 })],
      ])("with a token %s", async (what, change) => {
        const host = await enrolFakeHost(control(), what.replaceAll(" ", "-"));
        expect(await refused(await host.token(await change()))).toBe(401);
        expect(await hostNow(host)).toMatchObject({ online: false });
      });
    });
  });
}

/** Says hello and takes the welcome. */
async function greet(socket: FakeSocket): Promise<FakeSocket> {
  socket.send({ type: "hello", protocol: PROTOCOL, agentVersion: "0.1.0" });
  expect(await socket.next()).toMatchObject({ type: "welcome", protocol: PROTOCOL });
  return socket;
}

async function assignmentOf(host: FakeHost): Promise<Assignment> {
  const { jws } = await host.client.ask(SignedAssignment, "GET", "/agent/v1/assignment");
  return Assignment.parse(await readSigned(jws, host.controlKey, JWS_TYPES.assignment));
}

async function reportRun(host: FakeHost, run: Run, state: "running" | "succeeded"): Promise<void> {
  const isOver = state === "succeeded";
  const { host: _host, progress: _progress, ...known } = run;
  const now = new Date().toISOString();
  const report = {
    type: "run",
    sequence: isOver ? 2 : 1,
    run: { ...known, state, startedAt: now, finishedAt: isOver ? now : null, snapshot: isOver ? "0123abcd" : null },
    log: isOver ? "all went well\n" : "",
    engineId: null,
    snapshots: null,
  };
  expect(await host.client.ask(ReportsAccepted, "POST", "/agent/v1/reports", { reports: [report] })).toEqual({
    accepted: [run.id],
  });
}

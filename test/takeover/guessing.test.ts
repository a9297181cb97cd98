import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { createApp } from "../../control/app.ts";
import { createThrottle, WRONG_AT_ONCE, WRONG_EVERY_MS } from "../../control/auth/throttle.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { destinationError } from "../../control/notify/destinations.ts";
import { clientAddress } from "../../control/runtime/node/client-address.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { type ConnectionLimits, limitConnections } from "../../control/runtime/node/connections.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { parseNetworks } from "../../shared/address.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { temporaryDirectory } from "../node/deps.ts";
import { PROTOCOL } from "../../shared/protocol.ts";
import { FACTS, newHostKey, testControl, type TestControl } from "../support/control.ts";
import { enrolFakeHost } from "../support/fake-host.ts";
import { until } from "../support/until.ts";

// Who is only on the network guesses slowly, learns nothing from the answers, and holds no connections.

/** The app as a runtime has it that knows where each request comes from. */
function withAddresses(control: TestControl) {
  const throttle = createThrottle(control.deps.clock);
  let queries = 0;
  const db = new Proxy(control.deps.db, {
    get: (target, name, self) => {
      if (name === "select" || name === "batch") queries++;
      return Reflect.get(target, name, self);
    },
  });
  const app = createApp(
    { ...control.deps, db },
    {
      socket: (context) => context.json({}),
      clients: {
        throttle,
        addressOf: ({ req }) => req.header("x-test-from") ?? null,
        onAuthenticated: () => undefined,
      },
    },
  );
  const send = async (from: string, bearer: string, method = "GET", path = "/api/v1/hosts", body?: unknown) => {
    const answer = await app.request(path, {
      method,
      headers: { "x-test-from": from, authorization: `Bearer ${bearer}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, retryAfter: Number(answer.headers.get("retry-after")), text: await answer.text() };
  };
  return { send, queries: () => queries };
}

const guess = () => `hft_${crypto.randomUUID()}`;

test("of 2,000 wrong tokens at once only some are looked at; the right one works from elsewhere, and from where it worked before", async () => {
  const control = await testControl();
  const { send, queries } = withAddresses(control);
  const make = (name: string) => createToken(control.deps, { name, scope: "read", expiresInSeconds: null });
  const [known, fresh] = [await make("known"), await make("fresh")];
  expect((await send("192.0.2.1", known.token)).status).toBe(200);
  const before = queries();
  const answers = await Promise.all(Array.from({ length: 2000 }, () => send("192.0.2.1", guess())));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429]));
  // What was on its way before the first was known to be wrong counts too.
  expect(queries() - before).toBeLessThanOrEqual(WRONG_AT_ONCE + 100);
  expect(answers.at(-1)?.retryAfter).toBeGreaterThan(0);
  expect((await send("192.0.2.1", known.token)).status).toBe(200);
  expect((await send("192.0.2.1", fresh.token)).status).toBe(429);
  expect((await send("192.0.2.2", fresh.token)).status).toBe(200);
  expect((await send("192.0.2.1", fresh.token)).status).toBe(200);
});

test("then one more at a time, and an address that waits is as good as new", async () => {
  const control = await testControl();
  const { send } = withAddresses(control);
  const tried = async () => (await send("2001:db8::1", guess())).status;
  for (let wrong = 0; wrong < WRONG_AT_ONCE; wrong++) expect(await tried()).toBe(401);
  // A client of IPv6 has a whole network of addresses.
  expect((await send("2001:db8::2", guess())).status).toBe(429);
  expect((await send("2001:db8:0:1::1", guess())).status).toBe(401);
  control.pass(WRONG_EVERY_MS);
  expect([await tried(), await tried()]).toEqual([401, 429]);
  control.pass(WRONG_EVERY_MS * WRONG_AT_ONCE);
  for (let wrong = 0; wrong < WRONG_AT_ONCE; wrong++) expect(await tried()).toBe(401);
});

test("enrolment tokens are guessed as slowly, and enrolling with a right one still works elsewhere", async () => {
  const control = await testControl();
  const { send } = withAddresses(control);
  const enrol = async (from: string, token: string) => {
    const { publicKey } = await newHostKey();
    return (await send(from, "", "POST", "/agent/v1/enroll", { token, publicKey, facts: FACTS })).status;
  };
  const invented = `hfe.${"x".repeat(43)}.${control.deps.signingKey.fingerprint}`;
  for (let wrong = 0; wrong < WRONG_AT_ONCE; wrong++) expect(await enrol("192.0.2.1", invented)).toBe(403);
  expect(await enrol("192.0.2.1", invented)).toBe(429);
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", {});
  expect(await enrol("192.0.2.1", token)).toBe(429);
  expect(await enrol("192.0.2.2", token)).toBe(200);
});

test("hosts go on behind the address of who guesses, and what is remembered is bounded", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { send } = withAddresses(control);
  expect((await send("192.0.2.1", await host.jwt(), "GET", "/agent/v1/orders")).status).toBe(200);
  for (let wrong = 0; wrong <= WRONG_AT_ONCE; wrong++) await send("192.0.2.1", guess());
  expect((await send("192.0.2.1", await host.jwt(), "GET", "/agent/v1/orders")).status).toBe(200);
  const throttle = createThrottle(control.deps.clock);
  const fail = (address: string) =>
    throttle.guard(
      { address, credential: null },
      () => Promise.reject(new Error("wrong")),
      () => true,
    );
  for (let wrong = 0; wrong < WRONG_AT_ONCE; wrong++) await expect(fail("192.0.2.1")).rejects.toThrow("wrong");
  await expect(fail("192.0.2.1")).rejects.toThrow("too many");
  for (let other = 0; other < 10_000; other++) {
    await fail(`10.${other >> 16}.${(other >> 8) & 255}.${other & 255}`).catch(() => undefined);
  }
  // The oldest is forgotten.
  await expect(fail("192.0.2.1")).rejects.toThrow("wrong");
});

test("a host that is not there and a key that is another's are answered the same", async () => {
  const control = await testControl();
  const [host, other] = [await control.enrol("one"), await control.enrol("two")];
  const { send } = withAddresses(control);
  const nobody = "01936f0e-0000-7000-8000-000000000000";
  const texts = await Promise.all(
    [nobody, other.id].map(
      async (sub) => (await send("192.0.2.1", await host.jwt({ sub }), "GET", "/agent/v1/orders")).text,
    ),
  );
  expect(texts[0]).toBe(texts[1]);
  expect(texts[0]).toContain("no host here has the key");
});

test.each([
  [undefined, "127.0.0.1", "203.0.113.9", "127.0.0.1"],
  ["10.0.0.1", "127.0.0.1", "203.0.113.9", "127.0.0.1"],
  ["127.0.0.1", "127.0.0.1", undefined, "127.0.0.1"],
  ["127.0.0.1", "::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"],
  ["127.0.0.0/8", "127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"],
  ["127.0.0.1,10.0.0.0/8", "127.0.0.1", "198.51.100.1, 203.0.113.9, 10.2.3.4", "203.0.113.9"],
  ["::/0,0.0.0.0/0", "127.0.0.1", "evil, 10.2.3.4", "10.2.3.4"],
])("behind the proxies %s, %s that says %s is %s", (proxies, peer, forwarded, client) => {
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  const incoming = { socket: { remoteAddress: peer }, headers } as never;
  expect(clientAddress({ incoming }, proxies === undefined ? [] : (parseNetworks(proxies) ?? []))).toBe(client);
});

test("HOLDFAST_TRUSTED_PROXY takes addresses and ranges, and nothing else", () => {
  for (const good of ["127.0.0.1", "10.0.0.0/8, fd00::/8"])
    expect(readConfig({ HOLDFAST_TRUSTED_PROXY: good })).toBeDefined();
  for (const bad of ["*", "nginx", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1,"]) {
    expect(() => readConfig({ HOLDFAST_TRUSTED_PROXY: bad })).toThrow("HOLDFAST_TRUSTED_PROXY");
  }
});

test.each([
  ["127.0.0.1", false],
  ["::1", false],
  ["0.0.0.0", false],
  ["169.254.7.7", false],
  ["fe80::1", false],
  ["::ffff:127.0.0.1", false],
  ["192.168.1.5", true],
  ["fd12::1", true],
  ["93.184.215.14", true],
])("by default a notification to %s is sent: %s", (address, isSent) => {
  const rules = readConfig({}).webhookPrivate;
  const fault = destinationError(rules, null, { host: "ntfy.lan", address, port: 80 });
  expect(fault === null).toBe(isSent);
  if (!isSent) expect(fault).toContain("unless HOLDFAST_WEBHOOK_PRIVATE names ntfy.lan");
  const named = readConfig({ HOLDFAST_WEBHOOK_PRIVATE: "lan,ntfy.lan" }).webhookPrivate;
  expect(destinationError(named, null, { host: "ntfy.lan", address, port: 80 })).toBeNull();
});

async function startIn(limits: Partial<ConnectionLimits>) {
  const config = readConfig({ HOLDFAST_DATA: await temporaryDirectory(), HOLDFAST_PORT: "0" });
  const control = await startControl(config, { limits });
  onTestFinished(() => control.close());
  const { token } = await createToken(control.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const port = Number(new URL(control.url).port);
  /** Opens a connection, sends these bytes and nothing more. */
  const hold = async (bytes: string): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    socket.resume().write(bytes);
    return socket;
  };
  return { control, token, hold };
}

test("half-sent requests, silent connections and slow bodies are closed", async () => {
  const { hold, token } = await startIn({ headersMs: 200, strangerMs: 400, requestMs: 2_000, checkMs: 50 });
  const enrol =
    "POST /agent/v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
  const refused =
    "PUT /agent/v1/facts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
  const held = await Promise.all(["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b", enrol, refused].map(hold));
  await Promise.all(held.map(async (socket) => (socket.closed ? [] : await once(socket, "close"))));

  // Who has authenticated has the time that a slow line needs.
  const slow = await hold(
    `POST /api/v1/tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n{"name":"slow",`,
  );
  await Promise.all((await Promise.all([hold(""), hold(enrol)])).map((socket) => once(socket, "close")));
  slow.write('"scope":"read"  }');
  const [answer] = await once(slow, "data");
  expect(String(answer)).toContain("201 Created");
});

test("1,500 half-sent requests keep nobody out: the oldest make room, and what authenticated stays", async () => {
  const { hold, control, token } = await startIn({ perAddress: 50 });
  const host = await enrolFakeHost(
    { name: "node", url: control.url, adminToken: token, output: () => "", stop: async () => undefined },
    "nas",
  );
  const socket = await host.connect();
  let open = 0;
  for (let held = 0; held < 1500; held++) {
    open++;
    (await hold("GET / HTTP/1.1\r\nhost:")).once("close", () => void open--);
  }
  await until("the oldest to be closed", async () => (open <= 50 ? true : null));
  expect((await host.client.send("GET", "/agent/v1/orders")).status).toBe(200);
  socket.send({ type: "hello", protocol: PROTOCOL, agentVersion: "0" });
  expect(await socket.next()).toMatchObject({ type: "welcome" });
});

test("behind a trusted proxy, whose clients share its address, only the sum is limited", async () => {
  const limits = { headersMs: 1000, requestMs: 1000, strangerMs: 1000, checkMs: 100, perAddress: 1, total: 5 };
  const server = createServer();
  limitConnections(server, limits, (address) => address.includes("127.0.0.1"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const sockets = [];
  for (let index = 0; index < 6; index++) {
    const socket = connect(port, "127.0.0.1");
    await Promise.all([once(socket, "connect"), once(server, "connection")]);
    sockets.push(socket.on("error", () => undefined));
  }
  await once(sockets[0] ?? server, "close");
  expect(sockets.slice(1).every((socket) => !socket.destroyed)).toBe(true);
});

test("every answer says that it is what it says, errors and files as well", async () => {
  const { control } = await startIn({});
  for (const path of ["/healthz", "/api/v1/hosts", "/agent/v1/orders", "/agent/v1/socket", "/install.sh", "/nothing"]) {
    const { headers } = await fetch(`${control.url}${path}`);
    expect([path, headers.get("x-content-type-options"), headers.get("x-frame-options")]).toEqual([
      path,
      "nosniff",
      "DENY",
    ]);
    if (path !== "/healthz" && path !== "/nothing") expect(headers.get("cache-control")).toBe("no-store");
  }
});

import { once } from "node:events";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, onTestFinished, test } from "vitest";
import { parseDestinationRules } from "../../control/notify/destinations.ts";
import { createPost, createDestinationCheck } from "../../control/runtime/node/outgoing.ts";
import { type Resolve, sendRequest } from "../../shared/node/outgoing.ts";
import { ANYWHERE } from "./deps.ts";
import { httpReceiver, listen } from "./http-receiver.ts";

const note = { method: "POST" as const, headers: { "x-note": "1" }, body: '{"ä":1}' };
const anywhere = createPost(ANYWHERE);
const judgeBy = (text: string, port: number | null = null) =>
  createDestinationCheck(parseDestinationRules(text) ?? expect.fail(`${text} can't be read`), port);
const publicOnly = createPost(judgeBy("refuse"));

test("posts the body unchanged and returns only the status", async () => {
  const receiver = await httpReceiver();
  receiver.answer(202);
  expect(await anywhere({ url: receiver.url, ...note })).toEqual({ status: 202, retryAfterSeconds: 0 });
  expect(receiver.requests).toMatchObject([
    { path: "/hook", body: note.body, headers: { "x-note": "1", "content-length": "8" } },
  ]);
});

test("Retry-After is respected, up to a day", async () => {
  const receiver = await httpReceiver();
  receiver.answer(429, { "retry-after": "17.2" });
  expect(await anywhere({ url: receiver.url, ...note })).toEqual({ status: 429, retryAfterSeconds: 18 });
  receiver.answer(429, { "retry-after": "99999999" });
  expect(await anywhere({ url: receiver.url, ...note })).toEqual({ status: 429, retryAfterSeconds: 86_400 });
  receiver.answer(503, { "retry-after": "soon" });
  expect(await anywhere({ url: receiver.url, ...note })).toEqual({ status: 503, retryAfterSeconds: 0 });
});

test.each([301, 302, 303, 307, 308])("never follows a redirect (%i)", async (status) => {
  const elsewhere = await httpReceiver();
  const receiver = await httpReceiver();
  receiver.answer(status, { location: elsewhere.url });
  expect(await anywhere({ url: receiver.url, ...note })).toMatchObject({ status });
  expect(elsewhere.requests).toEqual([]);
});

test("an endless answer is not waited for", async () => {
  const cut = Promise.withResolvers<void>();
  const url = await listen((_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    response.on("close", () => cut.resolve());
    more();
  });
  expect(await anywhere({ url, ...note })).toMatchObject({ status: 200 });
  await cut.promise;
});

test("a slow endless body is closed in time", async () => {
  const cut = Promise.withResolvers<void>();
  const url = await listen((_request, response) => {
    response.on("close", () => cut.resolve());
    response.writeHead(200).write("x");
  });
  expect(await sendRequest({ url, ...note }, { check: ANYWHERE, withinMs: 50 })).toMatchObject({ status: 200 });
  await cut.promise;
});

test.each([
  ["nothing", ""],
  ["headers without end", "HTTP/1.1 200 OK\r\nx-slow: "],
  ["a continue, and then nothing", "HTTP/1.1 100 Continue\r\n\r\n"],
])("a receiver that answers %s times out, and the limit is for the whole exchange", async (_what, said) => {
  const cut = Promise.withResolvers<void>();
  const server = createTcpServer((socket) => {
    socket.resume();
    socket.on("error", () => undefined).on("close", () => cut.resolve());
    socket.write(said);
    // Something comes all the time: a limit for silence alone would never be reached.
    const drip = setInterval(() => said !== "" && socket.write("a"), 5);
    socket.on("close", () => clearInterval(drip));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const sent = sendRequest({ url, ...note }, { check: ANYWHERE, withinMs: 60 });
  await expect(sent).rejects.toThrow(/no answer within|Parse Error/);
  await cut.promise;
});

test.each([
  "http://127.0.0.1/",
  "http://127.1/",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0x7f.1/",
  "http://0177.0.0.1/",
  "http://0.0.0.0/",
  "http://0/",
  "http://10.1.2.3/",
  "http://012.1.2.3/",
  "http://100.64.0.1/",
  "http://172.31.255.255/",
  "http://192.168.0.1/",
  "http://[::1]/",
  "http://[::]/",
  "http://[::127.0.0.1]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:a00:1]/",
  "http://[::ffff:0:127.0.0.1]/",
  "http://[0:0:0:0:0:ffff:192.168.0.1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[64:ff9b::192.168.0.1]/",
  "http://[2002:7f00:1::]/",
  "http://[fc00::1]/",
  "http://[fe80::1]/",
  "http://１２７.0.0.1/",
  "https://192.168.0.1/",
  "http://localhost/",
  "http://localhost./",
  "http://LOCALHOST/",
])("refuses %s when private addresses are to be refused", async (url) => {
  await expect(publicOnly({ url, ...note })).rejects.toThrow(/HOLDFAST_WEBHOOK_PRIVATE=refuse|ENOTFOUND/);
});

test.each(["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])(
  "lets %s pass",
  (address) => {
    expect(judgeBy("refuse")({ host: "example.org", address, port: 443 })).toBeNull();
  },
);

test.each([
  "http://169.254.169.254/latest",
  "http://[fd00:ec2::254]/",
  "http://[::ffff:169.254.169.254]/",
  "http://0xa9fea9fe/",
])(
  "refuses %s, where clouds tell secrets, even where private addresses are allowed, but not when it is named",
  async (url) => {
    await expect(anywhere({ url, ...note })).rejects.toThrow("is a cloud metadata address");
    const address = new URL(url).hostname.replace(/^\[|\]$/g, "");
    expect(judgeBy(`refuse,${address}`)({ host: address, address, port: 80 })).toBeNull();
  },
);

test("rejects a name that resolves to a private address, when connecting", async () => {
  const receiver = await httpReceiver();
  const url = receiver.url.replace("127.0.0.1", "localhost");
  await expect(publicOnly({ url, ...note })).rejects.toThrow("private address range");
  expect(receiver.requests).toEqual([]);
  expect(await anywhere({ url, ...note })).toMatchObject({ status: 204 });
  expect(await createPost(judgeBy("refuse,localhost"))({ url, ...note })).toMatchObject({ status: 204 });
});

test("a name is rejected when one of its addresses is private, also when it changes later (DNS rebinding)", async () => {
  const receiver = await httpReceiver();
  const url = receiver.url.replace("127.0.0.1", "many.example");
  const resolveTo =
    (...addresses: string[]): Resolve =>
    (_name, _options, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
      );
  const judge = judgeBy("refuse");
  const send = (resolve: Resolve) => sendRequest({ url, ...note }, { check: judge, resolve, withinMs: 100 });
  await expect(send(resolveTo("93.184.215.14", "127.0.0.1"))).rejects.toThrow("many.example (127.0.0.1)");
  await expect(send(resolveTo())).rejects.toThrow("no address");

  // Public when it is looked at, private when it is connected to: it is looked at only where it is connected to.
  const answers = ["127.0.0.1", "93.184.215.14"];
  let asked = 0;
  const rebinding: Resolve = (_name, _options, done) => {
    const address = answers[asked++ % answers.length] ?? "";
    done(null, [{ address, family: 4 }]);
  };
  await expect(send(rebinding)).rejects.toThrow("private address range");
  expect(asked).toBe(1);
  expect(receiver.requests).toEqual([]);
});

test("nothing is sent to the control plane's own port, by whatever address of this machine", async () => {
  const receiver = await httpReceiver();
  const port = Number(new URL(receiver.url).port);
  const post = createPost(judgeBy("allow", port));
  for (const host of ["127.0.0.1", "localhost", "127.9.9.9", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]) {
    const sent = post({ url: `http://${host}:${port}/`, ...note });
    await expect(sent).rejects.toThrow("is the control plane itself");
  }
  for (const { address } of Object.values(networkInterfaces()).flatMap((all) => all ?? []))
    expect(judgeBy("allow", port)({ host: "me.example", address, port })).toContain("the control plane itself");
  expect(receiver.requests).toEqual([]);
  expect(await createPost(judgeBy("allow", port + 1))({ url: receiver.url, ...note })).toMatchObject({ status: 204 });
  expect(await createPost(judgeBy("allow,127.0.0.1", port))({ url: receiver.url, ...note })).toMatchObject({
    status: 204,
  });
});

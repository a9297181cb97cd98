import { expect, test } from "vitest";
import { createPost } from "../../control/runtime/node/outgoing.ts";
import { httpReceiver, listen } from "./http-receiver.ts";

const note = { method: "POST" as const, headers: { "x-note": "1" }, body: '{"ä":1}' };

test("posts the body as it is and gives the status only", async () => {
  const receiver = await httpReceiver();
  receiver.answer(202);
  expect(await createPost("allow")({ url: receiver.url, ...note })).toMatchObject({ status: 202 });
  expect(receiver.requests).toMatchObject([
    { path: "/hook", body: note.body, headers: { "x-note": "1", "content-length": "8" } },
  ]);
});

test("never follows a redirect", async () => {
  const elsewhere = await httpReceiver();
  const receiver = await httpReceiver();
  receiver.answer(302, { location: elsewhere.url });
  expect(await createPost("allow")({ url: receiver.url, ...note })).toMatchObject({ status: 302 });
  expect(elsewhere.requests).toEqual([]);
});

test("an answer without end does not keep it", async () => {
  let hungUp: () => void = () => undefined;
  const cut = new Promise<void>((resolve) => {
    hungUp = resolve;
  });
  const url = await listen((_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    response.on("close", hungUp);
    more();
  });
  expect(await createPost("allow")({ url, ...note })).toMatchObject({ status: 200 });
  await cut;
});

test.each([
  "http://127.0.0.1/",
  "http://127.1/",
  "http://0x7f000001/",
  "http://0.0.0.0/",
  "http://10.1.2.3/",
  "http://100.64.0.1/",
  "http://169.254.169.254/latest/meta-data",
  "http://172.31.255.255/",
  "http://192.168.0.1/",
  "http://[::1]/",
  "http://[::]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:a00:1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[fc00::1]/",
  "http://[fe80::1]/",
  "https://192.168.0.1/",
  "http://localhost/",
])("refuses %s when private addresses are to be refused", async (url) => {
  await expect(createPost("refuse")({ url, ...note })).rejects.toThrow("HOLDFAST_WEBHOOK_PRIVATE=refuse");
});

test("refuses a name that leads to a private address, where the connection is made", async () => {
  const receiver = await httpReceiver();
  const url = receiver.url.replace("127.0.0.1", "localhost");
  await expect(createPost("refuse")({ url, ...note })).rejects.toThrow("private address range");
  expect(receiver.requests).toEqual([]);
  expect(await createPost("allow")({ url, ...note })).toMatchObject({ status: 204 });
});

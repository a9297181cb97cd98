import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { createApp } from "../../control/app.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { createPost } from "../../control/runtime/node/outgoing.ts";
import { page } from "../../shared/api.ts";
import { Channel, ChannelCreated, ChannelKind } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { ANYWHERE } from "../node/deps.ts";
import { httpReceiver } from "../node/http-receiver.ts";
import { askerOf, testControl } from "../support/control.ts";

const HOUR = 3_600_000;
const KEY = `whsec_${Buffer.alloc(24, 1).toString("base64")}`;

async function webhook(more: object = {}) {
  const control = await testControl({ now: new Date().toISOString() });
  control.deps.log.error = () => undefined;
  const receiver = await httpReceiver();
  const channel = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
    name: "me",
    kind: "webhook",
    url: receiver.url,
    ...more,
  });
  const path = `/api/v1/channels/${channel.id}`;
  /** @returns which of the secrets a receiver that knows that one alone would find it signed with */
  const signedWith = async (...secrets: (string | undefined)[]): Promise<boolean[]> => {
    await control.admin.ask(Delivery, "POST", `${path}/test`);
    await dispatch({ ...control.deps, post: createPost(ANYWHERE) });
    const { headers, body } = receiver.requests.at(-1) ?? expect.fail("nothing came");
    const said = {
      "webhook-id": String(headers["webhook-id"]),
      // The judge goes by today's clock, the signature by the held one.
      "webhook-timestamp": String(headers["webhook-timestamp"]),
      "webhook-signature": String(headers["webhook-signature"]),
    };
    const at = new Date(Number(said["webhook-timestamp"]) * 1000);
    return secrets.map((secret) =>
      said["webhook-signature"].split(" ").includes(new Webhook(secret ?? "").sign(said["webhook-id"], at, body)),
    );
  };
  return { control, receiver, channel, path, signedWith };
}

test("a webhook's secret is rotated without a gap: both sign for a day, then only the new one", async () => {
  const { control, channel, path, signedWith } = await webhook();
  expect(await signedWith(channel.secret, KEY)).toEqual([true, false]);
  const { secret } = await control.admin.ask(ChannelCreated, "POST", `${path}/rotate`, {});
  expect(secret).toMatch(/^whsec_/);
  expect(await signedWith(channel.secret, secret)).toEqual([true, true]);
  control.pass(24 * HOUR - 1);
  expect(await signedWith(channel.secret, secret)).toEqual([true, true]);
  control.pass(1);
  expect(await signedWith(channel.secret, secret)).toEqual([false, true]);

  await control.admin.ask(ChannelCreated, "POST", `${path}/rotate`, { secret: KEY, keepOldSeconds: 0 });
  expect(await signedWith(secret, KEY)).toEqual([false, true]);
  for (const shown of [await control.admin.send("GET", path), await control.admin.send("GET", "/api/v1/channels")])
    expect(JSON.stringify(shown.body)).not.toContain("whsec_");
});

test("an own secret must be 24 to 64 bytes in base64", async () => {
  const { control, signedWith, path, receiver } = await webhook({ secret: KEY });
  expect(await signedWith(KEY)).toEqual([true]);
  const of = (bytes: number) => `whsec_${Buffer.alloc(bytes, 2).toString("base64")}`;
  const make = (secret: string) =>
    control.admin.send("POST", "/api/v1/channels", { name: "x", kind: "webhook", url: receiver.url, secret });
  for (const wrong of [of(23), of(65), of(0), KEY.slice(6), `${KEY}!`, "whsec_ä"]) {
    expect(await make(wrong)).toMatchObject({ status: 400, body: { error: { issues: [{ path: ["secret"] }] } } });
    expect(await control.admin.refused("POST", `${path}/rotate`, { secret: wrong })).toMatchObject({ status: 400 });
  }
  expect(await make(of(64))).toMatchObject({ status: 201 });
  expect(await control.admin.refused("PATCH", path, { kind: "ntfy" })).toMatchObject({ issues: [{ path: ["kind"] }] });
  // Changed in place it would leave receivers without warning.
  expect(await control.admin.refused("PATCH", path, { secret: of(32) })).toMatchObject({
    issues: [{ path: ["secret"] }],
  });
});

test("a failed delivery is listed, and can be retried under its id; a delivered one can't", async () => {
  const { control, receiver, channel, path } = await webhook();
  const deps = { ...control.deps, post: createPost(ANYWHERE) };
  receiver.answer(500);
  await control.admin.ask(Delivery, "POST", `${path}/test`);
  for (let next = await dispatch(deps); next !== null; next = await dispatch(deps))
    control.pass(Math.max(next - control.deps.clock.now(), 0));
  const { items } = await control.admin.ask(page(Delivery), "GET", "/api/v1/deliveries?state=failed");
  const [failed] = items;
  expect(failed).toMatchObject({ channel: channel.id, attempts: 10, lastStatus: 500, lastError: "answered 500" });
  expect(await control.admin.ask(Channel, "GET", path)).toMatchObject({ failures: 10, lastStatus: 500 });
  receiver.answer(204);
  await control.admin.ask(Delivery, "POST", `/api/v1/deliveries/${failed?.id}/retry`);
  await dispatch(deps);
  expect(new Set(receiver.requests.map(({ headers }) => headers["webhook-id"]))).toEqual(new Set([failed?.id]));
  expect(await control.admin.ask(Channel, "GET", path)).toMatchObject({ failures: 0, lastError: null });
  expect(await control.admin.refused("POST", `/api/v1/deliveries/${failed?.id}/retry`)).toMatchObject({ status: 409 });
});

test("channels that can't work are rejected with the field that is wrong", async () => {
  const { control } = await webhook();
  const url = "http://127.0.0.1/";
  const mail = { kind: "email", server: "mail.example.org", from: "a@example.org", to: ["b@example.org"] };
  const cases: [object, string][] = [
    [{ kind: "webhook", url: "http://me:hunter2@127.0.0.1/" }, "url"],
    [{ kind: "webhook", url: "ftp://127.0.0.1/" }, "url"],
    [{ kind: "ntfy", url, topic: "no/slash" }, "topic"],
    [{ kind: "ntfy", url, topic: "a", token: "two words" }, "token"],
    [{ kind: "gotify", url, token: "a\r\nx-evil: 1" }, "token"],
    [{ kind: "matrix", url, room: "#alias:example.org", token: "t" }, "room"],
    [{ ...mail, to: [] }, "to"],
    [{ ...mail, to: ["b@example.org\r\nBcc: evil@example.org"] }, "to"],
    [{ ...mail, from: "a@example.org>\r\nRCPT TO:<evil@example.org" }, "from"],
    [{ ...mail, server: "mail example" }, "server"],
    [{ ...mail, port: 0 }, "port"],
  ];
  for (const [body, field] of cases) {
    const { status, issues } = await control.admin.refused("POST", "/api/v1/channels", { name: "x", ...body });
    expect({ body, status, field: issues?.[0]?.path[0] }).toEqual({ body, status: 400, field });
  }
});

test("the commands in docs/notifications.md create a channel of every kind", async () => {
  const control = await testControl();
  const page = await readFile(join(import.meta.dirname, "../../docs/notifications.md"), "utf8");
  const pasted = [...page.matchAll(/^post channels '(.*)'$/gm)].map(([, body = ""]) => body);
  const kinds: string[] = [];
  for (const body of pasted) {
    const made = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", JSON.parse(body));
    kinds.push(made.kind);
  }
  expect(kinds.toSorted()).toEqual(ChannelKind.options.toSorted());
});

test("without SMTP, as on Workers, an e-mail channel is rejected with the reason", async () => {
  const { control } = await webhook();
  const app = createApp({ ...control.deps, mail: null }, { socket: (context) => context.json({}) });
  const { token } = await control.admin
    .send("POST", "/api/v1/tokens", { name: "t", scope: "admin" })
    .then(({ body }) => body as { token: string });
  const mail = { name: "mail", kind: "email", server: "127.0.0.1", from: "a@example.org", to: ["b@example.org"] };
  expect(await askerOf(app, () => token).refused("POST", "/api/v1/channels", mail)).toMatchObject({
    status: 400,
    issues: [{ path: ["kind"], message: expect.stringContaining("needs the control plane on Node") }],
  });
  expect(await control.admin.send("POST", "/api/v1/channels", mail)).toMatchObject({ status: 201 });
});

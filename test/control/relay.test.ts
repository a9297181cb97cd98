import { mkdir, writeFile } from "node:fs/promises";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { startRelay } from "../../agent/link/relay.ts";
import { recipientOfHost } from "../../agent/policy/age-key.ts";
import { ApiError } from "../../agent/link/api.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { page } from "../../shared/api.ts";
import { Channel, ChannelCreated } from "../../shared/channel.ts";
import { RelayedDelivery, type RelayResult, SignedDeliveries } from "../../shared/relay.ts";
import { Delivery } from "../../shared/event.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { holdTime } from "../agent/held-time.ts";
import { httpReceiver } from "../node/http-receiver.ts";
import { FACTS, testControl, type TestControl, type TestHost, URL_OF_CONTROL } from "../support/control.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * A control plane that may send nothing itself, a host whose agent may send to one receiver in its LAN, and a channel
 * there.
 */
async function inTheLan(policy: (origin: string) => unknown = (origin) => [origin]) {
  const control = await testControl({ now: new Date().toISOString() });
  control.deps.log.error = () => undefined;
  const host = await control.enrol("nas");
  const receiver = await httpReceiver();
  const agent = await agentOf(control, host, policy(new URL(receiver.url).origin));
  const channel = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
    name: "lan",
    kind: "webhook",
    url: receiver.url,
    via: host.id,
  });
  const failBackup = async () => {
    await control.admin.ask(Delivery, "POST", `/api/v1/channels/${channel.id}/test`);
    await dispatch(control.deps);
  };
  return { control, host, receiver, agent, channel, failBackup };
}

/** The agent's own sender, which speaks to the app as that host. */
async function agentOf(control: TestControl, host: TestHost, outgoing: unknown) {
  const { paths } = await scratchRoot();
  await mkdir(paths.etc, { recursive: true });
  await writeFile(paths.policyJson, JSON.stringify({ outgoing }));
  const facts = { ...FACTS, recipient: await recipientOfHost(paths) };
  expect((await host.send("PUT", "/agent/v1/facts", facts)).status).toBe(204);
  const said: string[] = [];
  const wire = { isDead: false };
  const { timers } = holdTime();
  let getDeliveries = async () => (await host.ask(SignedDeliveries, "GET", "/agent/v1/deliveries")).deliveries;
  const relay = startRelay({
    paths,
    timers,
    clock: control.deps.clock,
    log: (line) => said.push(line),
    config: {
      url: URL_OF_CONTROL,
      host: host.id,
      name: "nas",
      audience: URL_OF_CONTROL,
      controlKey: host.controlKey,
    },
    api: {
      getRelayedDeliveries: () => getDeliveries(),
      postRelayResults: async (outcomes: RelayResult[]) => {
        if (wire.isDead) throw new ApiError("rejected", "this process was killed");
        expect((await host.send("POST", "/agent/v1/deliveries", { outcomes })).status).toBe(204);
      },
    },
  });
  return {
    ...relay,
    wire,
    said,
    /** Does what it is given from elsewhere. */
    taking: (other: typeof getDeliveries) => {
      getDeliveries = other;
      return relay.run();
    },
  };
}

async function only({ admin }: TestControl): Promise<Delivery> {
  const { items } = await admin.ask(page(Delivery), "GET", "/api/v1/deliveries");
  expect(items).toHaveLength(1);
  return items[0] ?? expect.fail("no delivery");
}

test("a channel with `via` is sent by that host's agent only, signed, and its result counts like any other", async () => {
  const { control, host, receiver, agent, channel, failBackup } = await inTheLan();
  const other = await control.enrol("other");
  await failBackup();
  expect(control.hubCalls).toContain(`poke ${host.id} orders`);
  expect((await other.ask(SignedDeliveries, "GET", "/agent/v1/deliveries")).deliveries).toEqual([]);
  await agent.run();
  const delivery = await only(control);
  expect(delivery).toMatchObject({ state: "delivered", attempts: 1, lastStatus: 204, lastError: null });
  expect(receiver.requests).toHaveLength(1);
  const { headers, body } = receiver.requests[0] ?? expect.fail("nothing came");
  new Webhook(channel.secret ?? "").verify(body, {
    "webhook-id": delivery.id,
    "webhook-timestamp": String(headers["webhook-timestamp"]),
    "webhook-signature": String(headers["webhook-signature"]),
  });
  expect(await control.admin.ask(Channel, "GET", `/api/v1/channels/${channel.id}`)).toMatchObject({
    via: host.id,
    failures: 0,
    lastStatus: 204,
    lastDeliveredAt: delivery.deliveredAt,
  });
  await agent.run();
  expect(receiver.requests).toHaveLength(1);
});

test("what a host is to send is sealed to its age key; an agent without one gets it in clear", async () => {
  const { control, host, receiver, channel, agent } = await inTheLan();
  await control.admin.send("PATCH", `/api/v1/channels/${channel.id}`, { enabled: false });
  const token = "a-token-of-ntfy";
  const ntfy = { name: "ntfy", kind: "ntfy", url: receiver.url, topic: "t", token, via: host.id };
  const { id } = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", ntfy);
  const given = async () => {
    await control.admin.ask(Delivery, "POST", `/api/v1/channels/${id}/test`);
    await dispatch(control.deps);
    const [jws = ""] = (await host.ask(SignedDeliveries, "GET", "/agent/v1/deliveries")).deliveries;
    const payload = Buffer.from(jws.split(".")[1] ?? "", "base64url").toString("utf8");
    return { jws, payload, delivery: RelayedDelivery.parse(JSON.parse(payload)) };
  };
  const first = await given();
  expect(first.payload).not.toContain(token);
  expect(Object.keys(first.delivery)).toEqual(["id", "host", "lease", "issuedAt", "expiresAt", "sealed"]);
  // Another key than the host's own: nothing is sent, and the reason is reported.
  const other = await agentOf(control, host, [new URL(receiver.url).origin]);
  const once = [[first.jws], []];
  await other.taking(async () => once.shift() ?? []);
  expect(other.said.join("\n")).toContain("is not sealed to the age key of this host");
  expect(receiver.requests).toEqual([]);

  expect((await host.send("PUT", "/agent/v1/facts", { ...FACTS, recipient: null })).status).toBe(204);
  const { delivery, jws } = await given();
  expect(delivery.request?.headers["authorization"]).toContain(token);
  const plain = [[jws], []];
  await agent.taking(async () => plain.shift() ?? []);
  expect(receiver.requests).toHaveLength(1);
});

test("an agent killed between sending and reporting: sent again by the same host under the same id, and counted", async () => {
  const { control, receiver, agent, failBackup } = await inTheLan();
  await failBackup();
  agent.wire.isDead = true;
  await agent.run();
  agent.wire.isDead = false;
  expect(receiver.requests).toHaveLength(1);
  // While its lease lasts nobody gets it, not even the host itself.
  await dispatch(control.deps);
  await agent.run();
  expect(receiver.requests).toHaveLength(1);
  control.pass(MINUTE);
  await dispatch(control.deps);
  expect(await only(control)).toMatchObject({ state: "pending", attempts: 1, lastStatus: null });
  expect((await only(control)).lastError).toContain("reported no result");
  control.pass(6 * SECOND);
  await dispatch(control.deps);
  await agent.run();
  expect(await only(control)).toMatchObject({ state: "delivered", attempts: 2 });
  const ids = receiver.requests.map(({ headers }) => headers["webhook-id"]);
  expect(ids).toEqual([ids[0], ids[0]]);
});

test("a host that is offline: attempts count and are shown, and it gets waiting deliveries once it is back", async () => {
  const { control, receiver, agent, channel, failBackup } = await inTheLan();
  await failBackup();
  let next = await dispatch(control.deps);
  for (let hours = 0; hours < 3; next = await dispatch(control.deps)) {
    control.pass(Math.max((next ?? 0) - control.deps.clock.now(), 0));
    hours = (control.deps.clock.now() - Date.parse((await only(control)).createdAt)) / (60 * MINUTE);
  }
  const waiting = await only(control);
  expect(waiting).toMatchObject({ state: "pending", lastStatus: null });
  expect(waiting.attempts).toBeGreaterThan(2);
  expect(waiting.lastError).toContain("the host did not fetch it in time");
  expect(await control.admin.ask(Channel, "GET", `/api/v1/channels/${channel.id}`)).toMatchObject({
    failures: waiting.attempts,
    lastError: waiting.lastError,
    lastDeliveredAt: null,
  });
  expect(receiver.requests).toEqual([]);
  // Its first question makes what it missed due, the outbox is woken, and it is rung for.
  await agent.run();
  await dispatch(control.deps);
  await agent.run();
  expect(await only(control)).toMatchObject({ state: "delivered" });
});

test("a host that never comes back: after the last attempt the delivery fails, and can be retried manually", async () => {
  const { control, agent, failBackup } = await inTheLan();
  await failBackup();
  for (let next = await dispatch(control.deps); next !== null; next = await dispatch(control.deps))
    control.pass(Math.max(next - control.deps.clock.now(), 0));
  const failed = await only(control);
  expect(failed).toMatchObject({ state: "failed", attempts: 10, nextAttemptAt: null });
  await control.admin.ask(Delivery, "POST", `/api/v1/deliveries/${failed.id}/retry`);
  await dispatch(control.deps);
  await agent.run();
  expect(await only(control)).toMatchObject({ id: failed.id, state: "delivered" });
});

test.each([
  ["a policy that is off", () => "off", "outgoing is off"],
  ["the policy of who says nothing", () => "public", "is a private address: the host's policy has to name its origin"],
  [
    "a policy that names another place",
    () => ["http://127.0.0.1:1"],
    "does not let anything be sent to http://127.0.0.1",
  ],
  ["a policy that can't be followed", () => "everywhere", "outgoing: must be"],
])("%s: nothing is sent, and the reason is reported", async (_what, policy, why) => {
  const { control, receiver, agent, failBackup } = await inTheLan(policy);
  await failBackup();
  await agent.run();
  const delivery = await only(control);
  expect(delivery).toMatchObject({ state: "pending", attempts: 1, lastStatus: null });
  expect(delivery.lastError).toContain(why);
  expect(receiver.requests).toEqual([]);
});

test("an agent sends only deliveries signed for it and not expired; results of another host's delivery are ignored", async () => {
  const { control, host, receiver, agent, failBackup } = await inTheLan();
  const other = await control.enrol("other");
  const spy = await agentOf(control, other, [new URL(receiver.url).origin]);
  await failBackup();
  const [jws = ""] = (await host.ask(SignedDeliveries, "GET", "/agent/v1/deliveries")).deliveries;
  const [header, payload = "", signature] = jws.split(".");
  const { id, lease } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { id: string; lease: string };
  const forged = Buffer.from(Buffer.from(payload, "base64url").toString("utf8").replace('"sealed":"', '"sealed":"x'));
  const given = (...deliveries: string[]) => {
    let isFirst = true;
    return async () => (isFirst ? ((isFirst = false), deliveries) : []);
  };
  const tries = [
    [spy, jws, "is for another host"],
    [agent, `${header}.${forged.toString("base64url")}.${signature}`, "not signed by the control plane"],
  ] as const;
  for (const [who, delivery, why] of tries) {
    await who.taking(given(delivery));
    expect(who.said.join("\n")).toContain(why);
  }
  control.pass(MINUTE);
  await agent.taking(given(jws));
  expect(agent.said.join("\n")).toContain("is too old");
  expect(receiver.requests).toEqual([]);

  const outcome = { id, lease, status: 200, error: null };
  for (const [who, said] of [
    [other, outcome],
    [host, { ...outcome, lease: id }],
  ] as const)
    expect((await who.send("POST", "/agent/v1/deliveries", { outcomes: [said] })).status).toBe(204);
  expect(await only(control)).toMatchObject({ state: "pending" });
});

test("only an enrolled host can relay, and no e-mail; it can't be deleted while a channel needs it", async () => {
  const { control, host, channel } = await inTheLan();
  const mail = { name: "mail", kind: "email", server: "127.0.0.1", from: "a@example.org", to: ["b@example.org"] };
  const refused = async (body: object) => control.admin.refused("POST", "/api/v1/channels", body);
  expect(await refused({ ...mail, via: host.id })).toMatchObject({ status: 400, issues: [{ path: ["via"] }] });
  expect(await refused({ name: "x", kind: "webhook", url: "http://127.0.0.1/", via: channel.id })).toMatchObject({
    status: 400,
    issues: [{ path: ["via"] }],
  });
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  expect(await control.admin.refused("DELETE", `/api/v1/hosts/${host.id}`)).toMatchObject({ code: "hosts.in_use" });
});

test("a delivery the receiver rejects is retried on schedule, and the answer's body is not kept", async () => {
  const { control, receiver, agent, failBackup } = await inTheLan();
  receiver.answer(429, { "retry-after": "90" });
  await failBackup();
  await agent.run();
  const delivery = await only(control);
  expect(delivery).toMatchObject({ state: "pending", attempts: 1, lastStatus: 429, lastError: "answered 429" });
  expect(delivery.nextAttemptAt).toBe(new Date(control.deps.clock.now() + 90 * SECOND).toISOString());
  receiver.answer(200);
  control.pass(90 * SECOND);
  await dispatch(control.deps);
  await agent.run();
  expect(await only(control)).toMatchObject({ state: "delivered", attempts: 2 });
  expect(new Set(receiver.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
});

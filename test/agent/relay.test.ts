import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { channels, deliveries, retry } from "../../control/cli/channels.ts";
import type { Verb } from "../../control/cli/verb.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { page } from "../../shared/api.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { temporaryDirectory } from "../node/deps.ts";
import { httpReceiver, listen } from "../node/http-receiver.ts";
import { agentIn } from "../support/agent.ts";
import { openClient } from "../support/client.ts";
import { until } from "../support/until.ts";
import { startWorld } from "../support/world.ts";

/** A verb of `holdfast`, as somebody types it who may use this control plane. */
async function holdfast(verb: Verb, words: string[], env: Record<string, string>) {
  let out = "";
  const terminal = { env, out: (text: string) => void (out += text), err: () => undefined };
  return { code: await verb.run(words, terminal), out };
}

test("an agent sends a notification where the control plane can't, if its host's policy allows it", async () => {
  const world = await startWorld();
  onTestFinished(world.end);
  const { agent, api } = world;
  const receiver = await httpReceiver();
  const enrollment = await api.post("/enrollments", { name: "nas" });
  await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  agent.start();
  const host = await until("the host to be online", async () => {
    const [found] = (await api.get("/hosts?name=nas")).items;
    return found?.["online"] === true && found;
  });
  const lan = { name: "lan", kind: "ntfy", url: receiver.url, topic: "backups", token: "tk_SECRET" };
  const channel = await api.post("/channels", { ...lan, via: host["id"] });
  const { token } = await api.post("/tokens", { name: "person", scope: "admin" });
  const env = { HOLDFAST_URL: world.url, HOLDFAST_TOKEN: String(token) };
  const outcome = (attempts: number) =>
    until(`attempt ${attempts}; the agent said:\n${agent.said()}`, async () => {
      const [delivery] = (await api.get(`/deliveries?channel=${channel["id"]}`)).items;
      return Number(delivery?.["attempts"]) >= attempts && delivery;
    });

  await api.post(`/channels/${channel["id"]}/test`, {});
  const refused = await outcome(1);
  expect(refused).toMatchObject({ state: "pending", lastStatus: null });
  expect(refused["lastError"]).toContain("the host's policy has to name its origin in outgoing");
  expect(receiver.requests).toEqual([]);
  expect(await holdfast(channels, [], env)).toMatchObject({
    code: 3,
    out: expect.stringMatching(/^lan +ntfy +nas +failed 1 times +never +127\.0\.0\.1 is a private/m),
  });

  const etc = join(world.directory, "host/etc/holdfast");
  await mkdir(etc, { recursive: true });
  await writeFile(join(etc, "policy.json"), JSON.stringify({ outgoing: [new URL(receiver.url).origin] }));
  const id = String(refused["id"]);
  expect(await holdfast(retry, [id], env)).toMatchObject({ code: 0, out: expect.stringContaining("queued again") });
  expect(await outcome(2)).toMatchObject({ id, state: "delivered", lastStatus: 204, lastError: null });
  expect(receiver.requests).toMatchObject([{ method: "POST", headers: { authorization: "Bearer tk_SECRET" } }]);
  expect((await holdfast(channels, [], env)).code).toBe(0);
  const listed = await holdfast(deliveries, [], env);
  expect(listed.out).toMatch(new RegExp(`^${id} .* lan +channel\\.test +delivered +2 `, "m"));
  expect((await holdfast(deliveries, ["--failed"], env)).out).toBe("none\n");
  expect(agent.said() + world.url).not.toContain("SECRET");
});

test("a delivery of an agent killed between sending and reporting is sent again by that host, under the same id", async () => {
  const directory = await temporaryDirectory();
  let ahead = 0;
  const clock = { now: () => Date.now() + ahead };
  const log = { info: () => undefined, error: () => undefined };
  const control = await startControl(readConfig({ HOLDFAST_DATA: directory, HOLDFAST_PORT: "0" }), { clock, log });
  onTestFinished(control.close);
  const { token } = await createToken(control.deps, { name: "t", scope: "admin", expiresInSeconds: null });
  const client = openClient(control.url, () => token);
  const root = join(directory, "host");
  const agent = agentIn(root);
  onTestFinished(() => agent.kill("SIGKILL"));
  const ids: string[] = [];
  const heard = Promise.withResolvers<void>();
  const origin = await listen((request, response) => {
    ids.push(String(request.headers["webhook-id"]));
    // The first time nobody ever hears that it has arrived.
    if (ids.length > 1) response.writeHead(204).end();
    heard.resolve();
  });
  await mkdir(join(root, "etc/holdfast"), { recursive: true });
  await writeFile(join(root, "etc/holdfast/policy.json"), JSON.stringify({ outgoing: [origin] }));
  const enrollment = await client.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
  await agent.cli("enroll", "--url", control.url, "--token", enrollment.token);
  agent.start();
  const hosts = await client.ask(page(Host), "GET", "/api/v1/hosts");
  const hook = { name: "lan", kind: "webhook", url: `${origin}/hook`, via: hosts.items[0]?.id };
  const channel = await client.ask(ChannelCreated, "POST", "/api/v1/channels", hook);
  await client.ask(Delivery, "POST", `/api/v1/channels/${channel.id}/test`);
  await heard.promise;
  await agent.kill("SIGKILL");

  const { items } = await client.ask(page(Delivery), "GET", "/api/v1/deliveries");
  const [sent] = items;
  expect(sent).toMatchObject({ state: "pending", attempts: 0 });
  const delivery = (ready: (now: Delivery) => boolean) =>
    until(`the delivery; the agent said:\n${agent.said()}`, async () => {
      const now = await client.ask(Delivery, "GET", `/api/v1/deliveries/${sent?.id}`);
      return ready(now) && now;
    });
  ahead += 61_000;
  control.deps.wakeOutbox();
  const missed = await delivery(({ attempts }) => attempts === 1);
  expect(missed.lastError).toContain("reported no result");
  ahead += 6_000;
  control.deps.wakeOutbox();
  agent.start();
  expect(await delivery(({ state }) => state === "delivered")).toMatchObject({ attempts: 2, lastStatus: 204 });
  expect(ids).toEqual([sent?.id, sent?.id]);
});

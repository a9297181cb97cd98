import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { newAgeKey, recipientOf, unseal } from "../../shared/age.ts";
import { page } from "../../shared/api.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { RelayedDelivery, SignedDeliveries } from "../../shared/relay.ts";
import { openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { enrolFakeHost, FAKE_FACTS } from "../support/fake-host.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { until } from "../support/until.ts";

/** What leaves the control plane: each runtime has its own way out. */
export function outgoingSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );
  const testChannel = async (name: string, url: string): Promise<ChannelWithSecret> => {
    const channel = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", { name, kind: "webhook", url });
    await admin.ask(z.unknown(), "POST", `/api/v1/channels/${channel.id}/test`);
    return channel;
  };
  const attempted = (channel: ChannelWithSecret): Promise<z.infer<typeof Delivery>> =>
    until("the delivery to be tried", async () => {
      const { items } = await admin.ask(page(Delivery), "GET", `/api/v1/deliveries?channel=${channel.id}`);
      return items.find((delivery) => delivery.attempts > 0);
    });

  describe("outgoing", () => {
    let receiver: Receiver;
    const redirecting = createServer((_request, response) => {
      response.writeHead(302, { location: receiver.url }).end("what nobody may read");
    });
    beforeAll(async () => {
      receiver = await startReceiver();
      await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
    });
    afterAll(async () => {
      redirecting.close();
      await receiver.stop();
    });

    test("a notification arrives at once, signed", async () => {
      const channel = await testChannel("heard", receiver.url);
      expect(await receiver.take("channel.test", channel.secret ?? "")).toMatchObject({ type: "channel.test" });
      expect(await attempted(channel)).toMatchObject({ state: "delivered", lastStatus: 204, lastError: null });
    });

    test("a redirect is not followed, and the answer's body is kept nowhere", async () => {
      const { port } = redirecting.address() as AddressInfo;
      const heardBefore = receiver.count("channel.test");
      const delivery = await attempted(await testChannel("redirected", `http://127.0.0.1:${port}/hook`));
      expect(delivery).toMatchObject({ state: "pending", lastStatus: 302 });
      expect(JSON.stringify(delivery)).not.toContain("nobody may read");
      expect(receiver.count("channel.test")).toBe(heardBefore);
    });

    test("nothing is sent to cloud metadata addresses, although private addresses are allowed", async () => {
      const delivery = await attempted(await testChannel("metadata", "http://0xa9fea9fe/latest/meta-data"));
      expect(delivery).toMatchObject({ state: "pending", lastStatus: null });
      expect(delivery.lastError).toContain("169.254.169.254 is a cloud metadata address");
    });

    test("what a host relays is sealed to its age key", async () => {
      const host = await enrolFakeHost(control(), "relays");
      const key = await newAgeKey();
      const facts = { ...FAKE_FACTS, recipient: await recipientOf(key) };
      expect((await host.client.send("PUT", "/agent/v1/facts", facts)).status).toBe(204);
      const token = "a-token-of-gotify";
      const body = { name: "relayed", kind: "gotify", url: receiver.url, token, via: host.id };
      const { id } = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", body);
      await admin.ask(z.unknown(), "POST", `/api/v1/channels/${id}/test`);
      const payload = await until("the delivery for the host", async () => {
        const { deliveries } = await host.client.ask(SignedDeliveries, "GET", "/agent/v1/deliveries");
        return deliveries.map((jws) => Buffer.from(jws.split(".")[1] ?? "", "base64url").toString("utf8"))[0];
      });
      expect(payload).not.toContain(token);
      const { sealed } = RelayedDelivery.parse(JSON.parse(payload));
      expect(await unseal(key, sealed ?? "")).toContain(token);
    });

    test("a refused connection is retried later", async () => {
      const delivery = await attempted(await testChannel("unheard", "http://127.0.0.1:1/hook"));
      expect(delivery).toMatchObject({ state: "pending", attempts: 1, lastStatus: null });
      expect(delivery.lastError).not.toBeNull();
      expect(Date.parse(delivery.nextAttemptAt ?? "")).toBeGreaterThan(Date.parse(delivery.createdAt));
    });
  });
}

type ChannelWithSecret = z.infer<typeof ChannelCreated>;

import { page } from "../../shared/api.ts";
import { Channel } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Host } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import { readId } from "./params.ts";
import { minute, printable, table } from "./table.ts";
import { defineVerb } from "./verb.ts";

const NEWEST = "100";

export const channels = defineVerb({
  name: "channels",
  usage: "channels [--json]",
  summary: "show the notification channels and their state; exits with 3 when one fails",
  options: { json: { type: "boolean" } },
  positionals: [],
  run: async ({ openClient }) => {
    const client = await openClient();
    const [found, hosts] = [await client.list(Channel, "/channels"), await client.list(Host, "/hosts")];
    const hasFailed = found.some(({ enabled, failures }) => enabled && failures > 0);
    return {
      json: found,
      text: found.length === 0 ? "no channels: create one, see docs/notifications.md\n" : listOf(found, hosts),
      status: hasFailed ? EXIT.warned : EXIT.done,
    };
  },
});

export const deliveries = defineVerb({
  name: "deliveries",
  usage: "deliveries [--failed] [--json]",
  summary: `list the newest ${NEWEST} notifications; --failed: only those that failed for good`,
  options: { failed: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  run: async ({ values, openClient }) => {
    const client = await openClient();
    const query = new URLSearchParams({ limit: NEWEST, ...(values.failed === true ? { state: "failed" } : {}) });
    const { items } = await client.ask(page(Delivery), "GET", `/deliveries?${query}`);
    const named = new Map((await client.list(Channel, "/channels")).map(({ id, name }) => [id, name]));
    return { json: items, text: items.length === 0 ? "none\n" : deliveriesOf(items, named) };
  },
});

export const retry = defineVerb({
  name: "retry",
  usage: "retry DELIVERY",
  summary: "retry a notification now, also one that failed for good",
  options: {},
  positionals: ["DELIVERY"],
  run: async ({ positionals: [word], openClient }) => {
    const id = readId(word, "DELIVERY", "deliveries");
    const client = await openClient();
    const delivery = await client.ask(Delivery, "POST", `/deliveries/${id}/retry`);
    return { text: `${delivery.type} of ${minute(delivery.createdAt)}: queued again\n` };
  },
});

function listOf(found: Channel[], hosts: Host[]): string {
  const rows = found.map((channel) => [
    channel.name,
    channel.kind,
    channel.via === null ? "-" : (hosts.find(({ id }) => id === channel.via)?.name ?? channel.via),
    !channel.enabled ? "off" : channel.failures > 0 ? `failed ${channel.failures} times` : "ok",
    channel.lastDeliveredAt === null ? "never" : minute(channel.lastDeliveredAt),
    printable(channel.lastError ?? "-"),
  ]);
  return table([["CHANNEL", "KIND", "VIA", "STATE", "LAST DELIVERED", "LAST ERROR"], ...rows]);
}

function deliveriesOf(items: Delivery[], named: Map<Id, string>): string {
  const rows = items.map((delivery) => [
    delivery.id,
    minute(delivery.createdAt),
    named.get(delivery.channel) ?? "(deleted)",
    delivery.type,
    delivery.state,
    String(delivery.attempts),
    minute(delivery.nextAttemptAt),
    printable(delivery.lastError ?? "-"),
  ]);
  return table([["DELIVERY", "OF", "CHANNEL", "TYPE", "STATE", "ATTEMPTS", "NEXT", "LAST ERROR"], ...rows]);
}

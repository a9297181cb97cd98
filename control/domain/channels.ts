import { and, desc, eq, lt } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../shared/api.ts";
import type { ChangeChannel, Channel, ChannelCreated, CreateChannel, Delivery } from "../../shared/event.ts";
import { Failure } from "../../shared/failure.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { channels, deliveries } from "../db/schema.ts";
import { writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { enqueueTo } from "../notify/outbox.ts";
import { toDelivery } from "./deliveries.ts";
import { newId, pageOf, type ListInput } from "./page.ts";
import { notFound, refuseTakenName } from "./refusals.ts";

/** Makes a channel. Its signing secret is in the answer, and is not shown again. */
export async function createChannel(deps: Deps, input: CreateChannel): Promise<z.infer<typeof ChannelCreated>> {
  const now = instant(deps.clock.now());
  const secret = `whsec_${btoa(String.fromCharCode(...deps.random(32)))}`;
  const row = { id: newId(deps), ...input, secret, createdAt: now, changedAt: now };
  await refuseTakenName("channels", input.name, deps.db.insert(channels).values(row));
  return { ...toChannel(row), secret };
}

export async function listChannels(
  deps: Deps,
  input: ListInput & { name?: string | undefined },
): Promise<Page<Channel>> {
  const rows = await deps.db
    .select()
    .from(channels)
    .where(
      and(
        input.cursor === undefined ? undefined : lt(channels.id, input.cursor),
        input.name === undefined ? undefined : eq(channels.name, input.name),
      ),
    )
    .orderBy(desc(channels.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toChannel);
}

export async function getChannel(deps: Deps, id: Id): Promise<Channel> {
  const [row] = await deps.db.select().from(channels).where(eq(channels.id, id));
  if (row === undefined) throw notFound("channels", id);
  return toChannel(row);
}

export async function changeChannel(deps: Deps, id: Id, change: ChangeChannel): Promise<Channel> {
  const old = await getChannel(deps, id);
  const name = change.name ?? old.name;
  const { url = old.url, events = old.events, enabled = old.enabled } = change;
  const changedAt = instant(deps.clock.now());
  const write = deps.db
    .update(channels)
    .set({ name, url, events, enabled, changedAt })
    .where(eq(channels.id, id))
    .returning();
  const [row] = await refuseTakenName("channels", name, write);
  if (row === undefined) throw notFound("channels", id);
  return toChannel(row);
}

/** Takes the channel away. What still waited for it has failed; its deliveries stay, as history. */
export async function deleteChannel(deps: Deps, id: Id): Promise<void> {
  await getChannel(deps, id);
  await writeAll(deps.db, [
    deps.db
      .update(deliveries)
      .set({
        state: "failed",
        nextAttemptAt: null,
        lastError: "the channel was deleted",
        leaseUntil: null,
        leaseOwner: null,
      })
      .where(and(eq(deliveries.channel, id), eq(deliveries.state, "pending"))),
    deps.db.delete(channels).where(eq(channels.id, id)),
  ]);
}

/** Sends `channel.test` to this channel alone, whatever it is subscribed to. */
export async function testChannel(deps: Deps, id: Id): Promise<Delivery> {
  const channel = await getChannel(deps, id);
  const notice = { type: "channel.test" as const, data: { channel: { id, name: channel.name } } };
  await writeAll(deps.db, [enqueueTo(deps, id, notice)]);
  const [delivery] = await deps.db
    .select()
    .from(deliveries)
    .where(and(eq(deliveries.channel, id), eq(deliveries.type, "channel.test")))
    .orderBy(desc(deliveries.id))
    .limit(1);
  if (delivery === undefined) throw new Failure("request.conflict", `channel "${channel.name}" was deleted meanwhile`);
  deps.wakeOutbox();
  return toDelivery(delivery);
}

function toChannel({ secret: _secret, ...channel }: typeof channels.$inferSelect): Channel {
  return channel;
}

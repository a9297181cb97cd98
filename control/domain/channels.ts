import { and, desc, eq, lt } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../shared/api.ts";
import {
  type ChangeChannel,
  type Channel,
  type ChannelCreated,
  ChannelTarget,
  CreateChannel,
  SECRET_FIELDS,
  Subscription,
} from "../../shared/channel.ts";
import type { Delivery } from "../../shared/event.ts";
import { Failure, type Issue } from "../../shared/failure.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { channels, deliveries } from "../db/telling.ts";
import { writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { enqueueTo } from "../notify/outbox.ts";
import { toDelivery } from "./deliveries.ts";
import { newId, pageOf, type ListInput } from "./page.ts";
import { notFound, refuseTakenName } from "./refusals.ts";

/** Makes a channel. A webhook's signing secret is in the answer, and is not shown again. */
export async function createChannel(deps: Deps, input: CreateChannel): Promise<z.infer<typeof ChannelCreated>> {
  const now = instant(deps.clock.now());
  const { name, ...given } = input;
  const { subscription, target } = parted(given);
  const secret = target.kind === "webhook" ? `whsec_${btoa(String.fromCharCode(...deps.random(32)))}` : null;
  const values = { id: newId(deps), name, kind: target.kind, target, secret, ...subscription };
  const write = deps.db
    .insert(channels)
    .values({ ...values, createdAt: now, changedAt: now })
    .returning();
  const [row] = await refuseTakenName("channels", name, write);
  if (row === undefined) throw notFound("channels", values.id);
  return { ...toChannel(row), ...(secret === null ? {} : { secret }) };
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
  return toChannel(await findChannel(deps, id));
}

export async function changeChannel(deps: Deps, id: Id, { name, ...change }: ChangeChannel): Promise<Channel> {
  const old = await findChannel(deps, id);
  const before = Subscription.parse(Object.fromEntries(SUBSCRIPTION_KEYS.map((key) => [key, old[key]])));
  const given = CreateChannel.safeParse({
    ...before,
    ...old.target,
    ...change,
    name: name ?? old.name,
    kind: old.kind,
  });
  if (!given.success) throw new Failure("request.invalid", "the channel can't be changed so", issuesOf(given.error));
  const { name: newName, ...rest } = given.data;
  const { subscription, target } = parted(rest);
  const changedAt = instant(deps.clock.now());
  const write = deps.db
    .update(channels)
    .set({ name: newName, target, ...subscription, changedAt })
    .where(eq(channels.id, id))
    .returning();
  const [row] = await refuseTakenName("channels", newName, write);
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

type Row = typeof channels.$inferSelect;

const SUBSCRIPTION_KEYS = Subscription.keyof().options;

async function findChannel(deps: Deps, id: Id): Promise<Row> {
  const [row] = await deps.db.select().from(channels).where(eq(channels.id, id));
  if (row === undefined) throw notFound("channels", id);
  return row;
}

/** What it is subscribed to, and how it reaches somebody. */
function parted(given: Omit<CreateChannel, "name">): { subscription: Subscription; target: ChannelTarget } {
  const isOfSubscription = (key: string): boolean => SUBSCRIPTION_KEYS.some((each) => each === key);
  const entries = Object.entries(given);
  return {
    subscription: Subscription.parse(Object.fromEntries(entries.filter(([key]) => isOfSubscription(key)))),
    target: ChannelTarget.parse(Object.fromEntries(entries.filter(([key]) => !isOfSubscription(key)))),
  };
}

function issuesOf(error: z.ZodError): Issue[] {
  return error.issues.map(({ path, message }) => ({
    path: path.map((part) => (typeof part === "number" ? part : String(part))),
    message,
  }));
}

function toChannel(row: Row): Channel {
  const { target, secret: _secret, previousSecret: _previous, previousSecretUntil: _until, ...channel } = row;
  const shown = Object.entries(target).filter(([key]) => !SECRET_FIELDS[target.kind].includes(key));
  const { digestAt: _digestAt, ...said } = channel;
  return { ...Object.fromEntries(shown), ...said };
}

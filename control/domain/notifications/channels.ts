import { and, desc, eq, inArray, sql } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import {
  type ChangeChannel,
  type Channel,
  type ChannelCreated,
  ChannelTarget,
  CreateChannel,
  type RotateSecret,
  SECRET_FIELDS,
  Subscription,
} from "../../../shared/channel.ts";
import type { Delivery } from "../../../shared/event.ts";
import { Failure, type Issue } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { openTarget, sealSecret, sealTarget } from "../../keys/channel-secrets.ts";
import { channels, deliveries, NO_LEASE } from "../../db/schema/notifications.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueueTo } from "../../notify/outbox.ts";
import { toDelivery } from "./deliveries.ts";
import { newId } from "../ids.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { invalidRequest, notFound, throwIfNameTaken } from "../errors.ts";

/** Creates a channel. A webhook's signing secret is in the result, and is never shown again. */
export async function createChannel(deps: Deps, input: CreateChannel): Promise<z.infer<typeof ChannelCreated>> {
  const now = instant(deps.clock.now());
  const { name, subscription, target, secret: wanted } = splitChannel(input);
  await checkReachable(deps, { target, subscription });
  await checkHostsExist(deps, subscription.hosts ?? [], []);
  const secret = target.kind === "webhook" ? (wanted ?? newSecret(deps)) : null;
  const id = newId(deps);
  const sealed = {
    target: await sealTarget(deps, { id, via: subscription.via }, target),
    secret: secret === null ? null : await sealSecret(deps, id, secret),
  };
  const values = { id, name, kind: target.kind, ...sealed, ...subscription };
  const write = deps.db
    .insert(channels)
    .values({ ...values, createdAt: now, changedAt: now })
    .returning();
  const [row] = await throwIfNameTaken("channels", name, write);
  if (row === undefined) throw notFound("channels", values.id);
  return { ...toChannel(row), ...(secret === null ? {} : { secret }) };
}

/**
 * Replaces a webhook's signing secret. The new one is in the result, and is never shown again. For `keepOldSeconds`
 * requests carry both signatures, so the receiver can switch at any time.
 */
export async function rotateSecret(
  deps: Deps,
  id: Id,
  { secret = newSecret(deps), keepOldSeconds }: RotateSecret,
): Promise<z.infer<typeof ChannelCreated>> {
  const { kind, name } = await findChannel(deps, id);
  if (kind !== "webhook")
    throw new Failure("request.conflict", `channel "${name}" is not a webhook: it has no signing secret`);
  const now = deps.clock.now();
  const [row] = await deps.db
    .update(channels)
    .set({
      secret: await sealSecret(deps, id, secret),
      // From the row at that moment: two concurrent rotations lose no secret.
      previousSecret: keepOldSeconds === 0 ? null : sql`${channels.secret}`,
      previousSecretUntil: keepOldSeconds === 0 ? null : instant(now + keepOldSeconds * 1000),
      changedAt: instant(now),
    })
    .where(eq(channels.id, id))
    .returning();
  if (row === undefined) throw notFound("channels", id);
  return { ...toChannel(row), secret };
}

export async function listChannels(
  deps: Deps,
  input: ListInput & { name?: string | undefined },
): Promise<Page<Channel>> {
  const rows = await deps.db
    .select()
    .from(channels)
    .where(and(isPastCursor(channels.id, input), matches(channels.name, input.name)))
    .orderBy(desc(channels.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toChannel);
}

export async function getChannel(deps: Deps, id: Id): Promise<Channel> {
  return toChannel(await findChannel(deps, id));
}

export async function changeChannel(deps: Deps, id: Id, change: ChangeChannel): Promise<Channel> {
  const old = await findChannel(deps, id);
  if ("secret" in change)
    throw invalidRequest(
      ["secret"],
      `change it with POST /api/v1/channels/${id}/rotate: then the old one stays valid for a while`,
    );
  if ("kind" in change && change["kind"] !== old.kind)
    throw invalidRequest(["kind"], `is "${old.kind}" and can't be changed: create another channel and delete this one`);
  const oldTarget = await openTarget(deps, old);
  const before = Subscription.parse(Object.fromEntries(SUBSCRIPTION_KEYS.map((key) => [key, old[key]])));
  const given = CreateChannel.safeParse({ name: old.name, ...before, ...oldTarget, ...change, kind: old.kind });
  if (!given.success)
    throw new Failure("request.invalid", "the change is not valid for this channel", issuesOf(given.error));
  const { name, subscription, target } = splitChannel(given.data);
  await checkReachable(deps, { target, subscription });
  await checkHostsExist(deps, subscription.hosts ?? [], old.hosts ?? []);
  const write = deps.db
    .update(channels)
    .set({
      name,
      target: await sealTarget(deps, { id, via: subscription.via }, target),
      ...subscription,
      changedAt: instant(deps.clock.now()),
    })
    // The new one has the old one's secrets.
    .where(and(eq(channels.id, id), eq(channels.target, old.target), sql`${channels.via} is ${old.via}`))
    .returning();
  const [row] = await throwIfNameTaken("channels", name, write);
  if (row === undefined)
    throw new Failure("request.conflict", `channel "${old.name}" was changed or deleted meanwhile; try again`);
  // The quiet hours may have changed.
  deps.wakeOutbox();
  return toChannel(row);
}

/** Deletes the channel. Its pending deliveries fail; all its deliveries stay as history. */
export async function deleteChannel(deps: Deps, id: Id): Promise<void> {
  await getChannel(deps, id);
  await writeAll(deps.db, [
    deps.db
      .update(deliveries)
      .set({
        state: "failed",
        nextAttemptAt: null,
        lastError: "the channel was deleted",
        ...NO_LEASE,
      })
      .where(and(eq(deliveries.channel, id), inArray(deliveries.state, ["pending", "held"]))),
    deps.db.delete(channels).where(eq(channels.id, id)),
  ]);
}

/** Sends `channel.test` to this channel only, whatever its subscription. */
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

interface ChannelParts {
  readonly name: string;
  readonly subscription: Subscription;
  readonly target: ChannelTarget;
  readonly secret: string | undefined;
}

/** Splits a channel's body into name, subscription, target, and a webhook's secret if one is given. */
function splitChannel(input: CreateChannel): ChannelParts {
  const { name, ...given } = input;
  const isOfSubscription = (key: string): boolean => SUBSCRIPTION_KEYS.some((each) => each === key);
  const entries = Object.entries(given).filter(([key]) => key !== "secret");
  return {
    name,
    subscription: Subscription.parse(Object.fromEntries(entries.filter(([key]) => isOfSubscription(key)))),
    target: ChannelTarget.parse(Object.fromEntries(entries.filter(([key]) => !isOfSubscription(key)))),
    secret: input.kind === "webhook" ? input.secret : undefined,
  };
}

/** Throws `request.invalid` for a channel that nothing can be sent to. */
async function checkReachable(
  { db, mail }: Deps,
  { target, subscription: { via } }: Pick<ChannelParts, "target" | "subscription">,
): Promise<void> {
  if (target.kind === "email" && mail === null) throw invalidRequest(["kind"], NO_EMAIL);
  if (via === null) return;
  if (target.kind === "email")
    throw invalidRequest(["via"], "an agent sends no e-mail; leave it out, or choose another kind");
  const [host] = await db.select().from(hosts).where(eq(hosts.id, via));
  if (host === undefined || host.revokedAt !== null)
    throw invalidRequest(["via"], `there is no host ${via} that could send it: \`holdfast status\` lists them`);
}

/** @param before hosts the channel named already: they may be deleted since */
async function checkHostsExist({ db }: Deps, named: readonly Id[], before: readonly Id[]): Promise<void> {
  const known = await db.select({ id: hosts.id }).from(hosts).where(inArray(hosts.id, named));
  const index = named.findIndex((id) => !before.includes(id) && !known.some((host) => host.id === id));
  if (index >= 0)
    throw invalidRequest(["hosts", index], `there is no host ${named[index]}: \`GET /api/v1/hosts\` lists their ids`);
}

const NO_EMAIL = "e-mail needs the control plane on Node (Workers can't open SMTP connections): choose another kind";

function newSecret({ random }: Pick<Deps, "random">): string {
  return `whsec_${btoa(String.fromCharCode(...random(32)))}`;
}

function issuesOf(error: z.ZodError): Issue[] {
  return error.issues.map(({ path, message }) => ({
    path: path.map((part) => (typeof part === "number" ? part : String(part))),
    message,
  }));
}

function toChannel(row: Row): Channel {
  const { target, secret: _secret, previousSecret: _previous, previousSecretUntil: _until, ...channel } = row;
  const { sealed: _sealed, ...open } = target;
  const shown = Object.entries(open).filter(([key]) => !SECRET_FIELDS[target.kind].includes(key));
  const { digestAt: _digestAt, ...rest } = channel;
  return { ...Object.fromEntries(shown), ...rest };
}
